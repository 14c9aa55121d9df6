//! The stages of one image, in order: decode, preprocess, wait for a batch, run the model, postprocess.
//!
//! The stages are plain functions. Decoding and preprocessing run on a fixed pool of threads, the model
//! on the batcher's; [`Pipeline`] hands an image from one to the next and never blocks its caller.

pub mod batch;
pub mod postprocess;
mod turns;

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::messages::{ImageError, ImageErrorCode, ImageOutcome};
use common::package::Preprocessing;
use common::telemetry::names;
use tokio::sync::oneshot;
use tokio::time::Instant as Moment;

use self::batch::{BatchLimits, Batcher, Ticket};
pub use self::turns::Owner;
use self::turns::Turns;
use crate::panics;
use crate::served::ServedModel;
use engine::{EngineError, Pixels};
use images::decode::DecodeLimits;
use images::preprocess;

/// Sizes of the pipeline.
#[derive(Debug, Clone)]
pub struct PipelineLimits {
    /// Limits of batches.
    pub batch: BatchLimits,
    /// Concurrent model calls.
    pub inference_threads: usize,
    /// Images that are decoded and preprocessed concurrently.
    pub decode_threads: usize,
    /// Most bytes of memory for decoding large images at once.
    pub decode_bytes: u64,
    /// Images beyond these limits are refused before decoding.
    pub decode: DecodeLimits,
}

/// Turns images into scores.
#[derive(Clone)]
pub struct Pipeline {
    stages: Stages,
    decode: DecodeLimits,
}

/// Where the stages run.
#[derive(Clone)]
enum Stages {
    /// On their own threads.
    Threads { pool: Arc<rayon::ThreadPool>, turns: Arc<Turns<Work>>, batcher: Arc<Batcher> },
    /// In [`Pipeline::submit`], each image by itself.
    Inline,
}

/// Decoding and preprocessing of an image.
type Work = Box<dyn FnOnce() + Send>;

/// An image to be classified.
pub struct Task {
    /// Whose it is: clients take turns, and so do the jobs of each client.
    pub owner: Owner,
    /// The encoded file.
    pub bytes: Bytes,
    /// The model.
    pub model: Arc<ServedModel>,
    /// After this it is not decoded.
    pub deadline: Moment,
}

/// An image in the pipeline.
pub struct InFlight {
    decoded: oneshot::Receiver<(Decoded, Instant)>,
    scored: oneshot::Receiver<Result<Vec<f32>, EngineError>>,
}

/// The result of decoding and preprocessing.
enum Decoded {
    /// It waits for the model.
    Submitted,
    /// It cannot be classified.
    Rejected(ImageError),
    /// Its deadline passed.
    Expired,
}

/// The result of an image.
#[derive(Debug)]
pub struct Passed {
    /// Its answer.
    pub answer: Answer,
    /// When preprocessing ended or failed.
    pub decoded_at: Instant,
}

/// The pipeline's answer for an image.
#[derive(Debug)]
pub enum Answer {
    /// The model's outputs.
    Scores(Vec<f32>),
    /// This image cannot be classified.
    Rejected(ImageError),
    /// The deadline passed before it was decoded.
    Expired,
}

/// The pipeline was dropped with the image in it.
#[derive(Debug, thiserror::Error)]
#[error("the pipeline was closed")]
pub struct Closed;

impl Pipeline {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives none.
    pub fn start(limits: PipelineLimits) -> std::io::Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(limits.decode_threads.max(1))
            .thread_name(|number| format!("decode-{number}"))
            .build()
            .map_err(std::io::Error::other)?;
        let batcher = Batcher::start(limits.batch, limits.inference_threads)?;
        let turns = Arc::new(Turns::new(limits.decode_bytes));
        let stages = Stages::Threads { pool: Arc::new(pool), turns, batcher: Arc::new(batcher) };
        Ok(Self { stages, decode: limits.decode })
    }

    /// Creates a pipeline without threads: [`Self::submit`] does everything itself, one image after the other. For
    /// simulations, which must be deterministic.
    #[must_use]
    pub fn inline(decode: DecodeLimits) -> Self {
        Self { stages: Stages::Inline, decode }
    }

    /// Queues an image for a decoder. Images of a job are begun in the order of these calls.
    #[must_use]
    pub fn submit(&self, task: Task) -> InFlight {
        let (tell_decoded, decoded) = oneshot::channel();
        let (reply, scored) = oneshot::channel();
        match &self.stages {
            Stages::Threads { pool, turns, batcher } => {
                let (batcher, limits) = (Arc::clone(batcher), self.decode.clone());
                let occupant = batcher.announce();
                let (owner, bytes) = (task.owner.clone(), limits.memory_of(&task.bytes));
                let work: Work = Box::new(move || {
                    let end = first_half(&task, &limits, |pixels| {
                        let ticket =
                            Ticket { model: Arc::clone(&task.model), reply, since: Instant::now(), occupant };
                        batcher.submit(pixels, ticket);
                    });
                    // An error means that the caller has gone.
                    let _ = tell_decoded.send((end, Instant::now()));
                });
                turns.push(owner, bytes, work);
                let turns = Arc::clone(turns);
                pool.spawn_fifo(move || {
                    let (work, _turn) = turns.next();
                    work();
                });
            }
            Stages::Inline => {
                let end = first_half(&task, &self.decode, |pixels| {
                    // The receiver lives until this returns.
                    let _ = reply.send(batch::run_alone(&task.model, pixels));
                });
                let _ = tell_decoded.send((end, Instant::now()));
            }
        }
        InFlight { decoded, scored }
    }
}

/// Decodes and preprocesses an image that is still wanted, and passes it on.
fn first_half(task: &Task, limits: &DecodeLimits, hand_on: impl FnOnce(Pixels)) -> Decoded {
    if Moment::now() >= task.deadline {
        return Decoded::Expired;
    }
    let goes_on = || Moment::now() < task.deadline;
    let limits = limits.as_declared(&task.bytes);
    match prepare(&task.bytes, &task.model.package.config.preprocessing, &limits, &goes_on) {
        Ok(pixels) => {
            hand_on(pixels);
            Decoded::Submitted
        }
        Err(_) if !goes_on() => Decoded::Expired,
        Err(error) => Decoded::Rejected(error),
    }
}

impl InFlight {
    /// Waits for the result. Needs no bound: decoding is bounded by the image's size, and a hanging call of the model
    /// cannot be ended from here. A worker with such a call holds no more than its prefetch, which the broker
    /// redelivers after its own timeout.
    ///
    /// # Errors
    /// The pipeline is gone.
    pub async fn wait(self) -> Result<Passed, Closed> {
        let (decoded, decoded_at) = self.decoded.await.map_err(|_| Closed)?;
        let answer = match decoded {
            Decoded::Rejected(error) => Answer::Rejected(error),
            Decoded::Expired => Answer::Expired,
            Decoded::Submitted => match self.scored.await.map_err(|_| Closed)? {
                Ok(scores) => Answer::Scores(scores),
                Err(error) => Answer::Rejected(inference_failed(&error)),
            },
        };
        Ok(Passed { answer, decoded_at })
    }
}

/// Decodes and preprocesses, while `goes_on` returns true. A panic in either is this image's error.
///
/// # Errors
/// Why it cannot be classified.
pub(crate) fn prepare(
    bytes: &[u8],
    how: &Preprocessing,
    limits: &DecodeLimits,
    goes_on: &dyn Fn() -> bool,
) -> Result<Pixels, ImageError> {
    let work = || {
        let started = Instant::now();
        let image = preprocess::decode(bytes, limits, how, goes_on)?;
        let decoded = Instant::now();
        metrics::histogram!(names::DECODE_SECONDS).record(decoded - started);
        let values = preprocess::preprocess(image, how);
        metrics::histogram!(names::PREPROCESS_SECONDS).record(decoded.elapsed());
        values
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(ImageError {
            code: ImageErrorCode::UndecodableImage,
            detail: format!("the image could not be processed: {}", panics::text(&*panic)),
        })
    })
}

/// Turns an image's scores into labels. A panic is this image's error.
#[must_use]
pub fn label(scores: &[f32], model: &ServedModel, top_k: Option<NonZeroU32>) -> ImageOutcome {
    let started = Instant::now();
    let how = &model.package.config.postprocessing;
    let outcome = catch_unwind(AssertUnwindSafe(|| postprocess::postprocess(scores, how, top_k)));
    metrics::histogram!(names::POSTPROCESS_SECONDS).record(started.elapsed());
    outcome.unwrap_or_else(|panic| {
        ImageOutcome::Rejected(inference_failed(&EngineError(panics::text(&*panic).to_owned())))
    })
}

fn inference_failed(error: &EngineError) -> ImageError {
    ImageError {
        code: ImageErrorCode::InferenceFailed,
        detail: format!("the model could not compute this image's scores: {error}"),
    }
}

/// Converts a duration to microseconds, for [`common::messages::StageTimes`].
#[must_use]
pub fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
