//! The stages of one image, in order: decode, preprocess, wait for a batch, run the model, postprocess.
//!
//! The stages are plain functions. Decoding and preprocessing run on a fixed pool of threads, the model
//! on the batcher's; [`Pipeline`] hands an image from one to the next and never blocks its caller.

pub mod batch;
pub mod decode;
pub mod postprocess;
pub mod preprocess;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::messages::{ImageError, ImageOutcome, Timestamp};
use common::package::Preprocessing;
use common::telemetry::names;
use tokio::sync::oneshot;

use self::batch::{BatchLimits, Batcher, Ticket};
use self::decode::DecodeLimits;
use crate::engine::{EngineError, Pixels};
use crate::models::ServedModel;
use crate::panics;

/// Sizes of the pipeline.
#[derive(Debug, Clone)]
pub struct PipelineLimits {
    /// Of batches.
    pub batch: BatchLimits,
    /// Model calls that may run at once.
    pub inference_threads: usize,
    /// Images decoded and preprocessed at once.
    pub decode_threads: usize,
    /// What is refused before it is decoded.
    pub decode: DecodeLimits,
}

/// Takes images in at one end and gives scores at the other.
#[derive(Clone)]
pub struct Pipeline {
    pool: Arc<rayon::ThreadPool>,
    batcher: Arc<Batcher>,
    decode: DecodeLimits,
}

/// An image to be classified.
pub struct Task {
    /// The encoded file.
    pub bytes: Bytes,
    /// What classifies it.
    pub model: Arc<ServedModel>,
    /// From then on it is not worth decoding.
    pub deadline: Timestamp,
}

/// An image on its way.
pub struct InFlight {
    decoded: oneshot::Receiver<(Decoded, Instant)>,
    scored: oneshot::Receiver<Result<Vec<f32>, EngineError>>,
}

/// How the first half ended.
enum Decoded {
    /// It is in line for the model.
    Submitted,
    /// It has no label, and this is why.
    Rejected(ImageError),
    /// It was not worth it any more.
    Expired,
}

/// What came of an image.
#[derive(Debug)]
pub struct Passed {
    /// The answer.
    pub answer: Answer,
    /// When it left the preprocessing, for better or worse.
    pub decoded_at: Instant,
}

/// What the pipeline says of an image.
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
        Ok(Self { pool: Arc::new(pool), batcher: Arc::new(batcher), decode: limits.decode })
    }

    /// Puts an image in line for a decoder. Images are begun in the order of these calls.
    #[must_use]
    pub fn submit(&self, task: Task) -> InFlight {
        let (tell_decoded, decoded) = oneshot::channel();
        let (reply, scored) = oneshot::channel();
        let (batcher, limits) = (Arc::clone(&self.batcher), self.decode.clone());
        let presence = batcher.announce();
        self.pool.spawn_fifo(move || {
            let end = if Timestamp::now() >= task.deadline {
                Decoded::Expired
            } else {
                match prepare(&task.bytes, &task.model.package.config.preprocessing, &limits) {
                    Ok(pixels) => {
                        let model = &task.model;
                        let ticket = Ticket {
                            engine: Arc::clone(&model.engine),
                            shape: model.package.config.preprocessing.input_shape,
                            reply,
                            since: Instant::now(),
                            presence,
                        };
                        batcher.submit(&model.package.version, pixels, ticket);
                        Decoded::Submitted
                    }
                    Err(error) => Decoded::Rejected(error),
                }
            };
            // An error says that nobody waits for this image any more.
            let _ = tell_decoded.send((end, Instant::now()));
        });
        InFlight { decoded, scored }
    }
}

impl InFlight {
    /// Waits for the image to come out.
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

/// Decodes and preprocesses. A panic in either is this image's error.
///
/// # Errors
/// Why it cannot be classified.
pub(crate) fn prepare(
    bytes: &[u8],
    how: &Preprocessing,
    limits: &DecodeLimits,
) -> Result<Pixels, ImageError> {
    let work = || {
        let started = Instant::now();
        let image = preprocess::decode(bytes, limits, how)?;
        let decoded = Instant::now();
        metrics::histogram!(names::DECODE_SECONDS).record(decoded - started);
        let values = preprocess::preprocess(image, how);
        metrics::histogram!(names::PREPROCESS_SECONDS).record(decoded.elapsed());
        values
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(ImageError {
            code: "undecodable_image".to_owned(),
            detail: format!("the image could not be processed: {}", panics::text(&*panic)),
        })
    })
}

/// From an image's scores to its labels. A panic is this image's error.
#[must_use]
pub fn label(scores: &[f32], model: &ServedModel, top_k: u32) -> ImageOutcome {
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
        code: "inference_failed".to_owned(),
        detail: format!("the model could not compute this image's scores: {error}"),
    }
}

/// A duration in microseconds, as [`common::messages::StageTimes`] wants it.
#[must_use]
pub fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
