//! Classifies the images of a part: all at once, or one by one with care.
//!
//! # An image that kills its worker
//!
//! Native code decodes and computes here, and clients' images may crash it. A part whose worker died is delivered
//! again, and must not kill one worker after the other. But no part may be given up that only shared a worker with it,
//! or whose worker was killed for other reasons.
//!
//! - A part's first delivery takes the fast path and costs no extra call.
//! - Every later delivery takes the careful path: alone in the process, so that no other part can be the cause or is at
//!   risk, and one image after the other. An image's try is counted before it and taken back after it (see
//!   [`tries`](crate::run::tries)). The remaining count is that of tries during which the worker died.
//! - An image with [`MAX_DEADLY_TRIES`] of those is not tried again. Its result is an error, and a copy of the part
//!   with that image alone becomes a dead letter. So a deadly image kills three workers, one on the fast path and two
//!   on the careful one, and the other images of its part get their results.
//! - Workers that die before they try an image, for example while the model loads, are counted for the whole part,
//!   which becomes a dead letter after some of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::messages::{
    EncodedImage, ImageError, ImageErrorCode, ImageOutcome, JobFailure, Part, PartEnd, Payload, StageTimes,
};
use common::store::{StoreError, Wanted};
use common::telemetry::names;
use tokio::time::Instant as Moment;

use super::{Handler, Verdict};
use crate::pipeline::{self, Answer, Closed, InFlight, Owner, Passed, Task, microseconds};
use crate::run::tries::What;
use crate::served::ServedModel;

/// Deadly tries on the careful path before an image is given up.
const MAX_DEADLY_TRIES: u32 = 2;

/// Longest time that an image may be in the pipeline by its deadline, so that moments do not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Outcomes so far, and when the last image was decoded.
struct Progress {
    started: Instant,
    decoded: Instant,
    outcomes: Vec<(u32, ImageOutcome)>,
}

/// Why a part ends before its last image.
enum Cut {
    /// Its deadline passed.
    Expired,
    /// The pipeline is gone: the worker is torn down.
    Closed,
    /// The store is out of reach.
    Store(StoreError),
}

impl Handler {
    /// All images at once.
    pub(super) async fn at_once(&self, part: &Part, model: &Arc<ServedModel>) -> Verdict {
        let mut progress = Progress::begin(part);
        let Payload::Images(images) = &part.payload;
        let flights: Vec<(u32, InFlight)> =
            images.iter().map(|image| (image.position, self.launch(part, image, model))).collect();
        for (position, flight) in flights {
            if let Err(cut) = progress.land(position, flight.wait().await, model, part.top_k) {
                return cut.verdict(1);
            }
        }
        progress.verdict()
    }

    /// Alone in the process, one image after the other.
    pub(super) async fn carefully(&self, part: &Part, attempt: u32, model: &Arc<ServedModel>) -> Verdict {
        let _pass = self.gate.alone().await;
        // The previous delivery may have been finished while this one waited.
        match self.wanted(part).await {
            Ok(Wanted::Yes) => {}
            Ok(Wanted::No) => return Verdict::Drop,
            Err(error) => return Verdict::retry(error, attempt),
        }
        let Payload::Images(images) = &part.payload;
        tracing::info!(images = images.len(), "a part was delivered again, its images are tried one by one");
        let mut progress = Progress::begin(part);
        let mut given_up = Vec::new();
        for image in images {
            match self.try_alone(part, image, model, &mut progress).await {
                Ok(true) => {}
                Ok(false) => {
                    given_up.push(image.clone());
                    progress.outcomes.push((image.position, crashed_worker()));
                }
                Err(cut) => return cut.verdict(attempt),
            }
        }
        // Dead letters come last, so that a worker that dies before leaves no copies behind.
        for image in given_up {
            let copy = Part { payload: Payload::Images(vec![image]), ..part.clone() };
            let reason = format!("the image killed its worker {} times", MAX_DEADLY_TRIES + 1);
            if let Err(error) = self.dead_letter(copy, &reason).await {
                return Verdict::retry(error, attempt);
            }
        }
        progress.verdict()
    }

    /// Tries one image, unless it killed its workers before. Returns whether it was tried.
    async fn try_alone(
        &self,
        part: &Part,
        image: &EncodedImage,
        model: &Arc<ServedModel>,
        progress: &mut Progress,
    ) -> Result<bool, Cut> {
        let what = What::Image(image.position);
        if self.tries.begin(part, what).await.map_err(Cut::Store)? > MAX_DEADLY_TRIES {
            return Ok(false);
        }
        metrics::counter!(names::CAREFUL_TRIES_TOTAL).increment(1);
        let passed = self.launch(part, image, model).wait().await;
        self.tries.take_back(part, what).await;
        progress.land(image.position, passed, model, part.top_k)?;
        Ok(true)
    }

    fn launch(&self, part: &Part, image: &EncodedImage, model: &Arc<ServedModel>) -> InFlight {
        let (bytes, model) = (image.bytes.clone(), Arc::clone(model));
        // Returns a moment of this host's monotonic clock, independent of its wall clock.
        let left = part.deadline.since(self.tools.store.now()).min(LONGEST);
        let owner = Owner { client: part.client.clone(), job: part.id.job };
        self.tools.pipeline.submit(Task { owner, bytes, model, deadline: Moment::now() + left })
    }
}

impl Progress {
    fn begin(part: &Part) -> Self {
        let started = Instant::now();
        Self { started, decoded: started, outcomes: Vec::with_capacity(part.payload.count()) }
    }

    /// Adds the result of an image.
    fn land(
        &mut self,
        position: u32,
        passed: Result<Passed, Closed>,
        model: &ServedModel,
        top_k: Option<NonZeroU32>,
    ) -> Result<(), Cut> {
        let Passed { answer, decoded_at } = passed.map_err(|Closed| Cut::Closed)?;
        self.decoded = self.decoded.max(decoded_at);
        let outcome = match answer {
            Answer::Scores(scores) => pipeline::label(&scores, model, top_k),
            Answer::Rejected(error) => ImageOutcome::Rejected(error),
            Answer::Expired => return Err(Cut::Expired),
        };
        self.outcomes.push((position, outcome));
        Ok(())
    }

    /// Returns the result with the times as the client experienced them: until the last image was decoded, and from
    /// then until the last answer.
    fn verdict(self) -> Verdict {
        let times = StageTimes {
            queue: 0,
            decode: microseconds(self.decoded - self.started),
            inference: microseconds(self.decoded.elapsed()),
        };
        Verdict::Store(PartEnd::Done(self.outcomes), times)
    }
}

impl Cut {
    fn verdict(self, attempt: u32) -> Verdict {
        match self {
            Self::Expired => Verdict::failed(
                JobFailure::DeadlineExceeded,
                "the deadline of the prediction passed before its images were decoded",
            ),
            Self::Closed => Verdict::retry("the worker is shutting down", attempt),
            Self::Store(error) => Verdict::retry(error, attempt),
        }
    }
}

fn crashed_worker() -> ImageOutcome {
    ImageOutcome::Rejected(ImageError {
        code: ImageErrorCode::ImageCrashedWorker,
        detail: format!(
            "the image ended the worker that tried it {} times and was given up",
            MAX_DEADLY_TRIES + 1
        ),
    })
}
