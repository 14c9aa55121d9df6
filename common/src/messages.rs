//! Jobs, the parts they are split into, and their results.
//!
//! A request becomes one job. The job's record goes to the store; its images go to the broker in parts, each small
//! enough for one message and one batch of a worker. Images are numbered by their *position* in the request, from 0;
//! the client's own `image_id`s stay in the job's record.

mod image_error;
mod part;
mod zero_for_none;

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use self::image_error::{ImageError, ImageErrorCode};
#[cfg(test)]
pub(crate) use self::part::sample_part;
pub use self::part::{EncodedImage, InvalidPartId, Part, PartId, Payload, WIRE_VERSION};
use crate::ids::{ClientName, Generation, JobId, ModelName, ModelVersion, WorkerId};
use crate::simulated;

/// A moment in milliseconds since the Unix epoch.
///
/// Hosts' clocks are expected to differ by at most a second (NTP). Clocks decide when something is given up, never
/// which model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the time of this host's clock.
    #[must_use]
    pub fn now() -> Self {
        if let Some(moment) = simulated::told() {
            return Self(moment);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Returns the moment this much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One model version and the generation in which it was active: what a request is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PinnedModel {
    /// Name of the package.
    pub name: ModelName,
    /// Digest of the package's bytes.
    pub version: ModelVersion,
    /// The fleet's generation at that time.
    pub generation: Generation,
}

/// A label and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScore {
    /// An output class of the package.
    pub label: String,
    /// The model's output for the class.
    pub score: f32,
}

/// The result of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ImageOutcome {
    /// The model classified it.
    Classified {
        /// The label with the largest score, and the score.
        best: LabelScore,
        /// The best labels, best first; empty unless the request or the package requests them.
        scores: Vec<LabelScore>,
        /// The labels that reach their thresholds, best first; only from a multi-label package.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        labels: Option<Vec<LabelScore>>,
    },
    /// This image, and only this one, could not be classified.
    Rejected(ImageError),
}

/// The time that a part spent in each stage, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// From acceptance until a worker begins.
    pub queue: u64,
    /// Decoding and preprocessing.
    pub decode: u64,
    /// Waiting for a batch and running the model.
    pub inference: u64,
}

/// Why a job ended without results. Each is a row of the API's error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobFailure {
    /// The deadline passed before a worker took it (504).
    DeadlineExceeded,
    /// The pinned model cannot be loaded any more (503).
    ModelUnavailable,
    /// The worker could not run it; a bug (500).
    Internal,
    /// A failure of a newer release (500).
    #[serde(other)]
    Unknown,
}

/// The result of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PartEnd {
    /// An outcome for each image of the part, as (position, outcome).
    Done(Vec<(u32, ImageOutcome)>),
    /// The part failed as a whole.
    Failed(JobFailure, String),
}

/// A worker's answer to one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    /// Its result.
    pub end: PartEnd,
    /// The worker.
    pub worker: WorkerId,
    /// The time in each stage.
    pub times: StageTimes,
}

/// A client's `Idempotency-Key` and the digest of the request that came with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The key as sent, after the client's name and a line break if it has a name: two clients never share one.
    pub key: String,
    /// Digest of the request's body and query.
    pub request: [u8; 32],
}

/// The record of a job, as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: JobId,
    /// The model that answers all of it.
    pub model: PinnedModel,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// How long its answer is kept after its end.
    pub retention: Duration,
    /// The client's ids by position.
    pub image_ids: Vec<i64>,
    /// Number of parts it was split into.
    pub parts: u32,
    /// How many of the best labels an image gets as scores; `None` for as many as the package says.
    #[serde(with = "zero_for_none")]
    pub top_k: Option<NonZeroU32>,
    /// The client's idempotency key.
    pub idempotency: Option<Idempotency>,
    /// Its client; `None` for a client without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    /// The file names of a form's images by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_names: Option<Vec<Option<String>>>,
}

impl JobRecord {
    /// Returns the name of an image's file, if it has one.
    #[must_use]
    pub fn file_name(&self, position: usize) -> Option<String> {
        self.file_names.as_ref()?.get(position)?.clone()
    }
}

/// The progress of a job, derived from its record and the results so far.
#[derive(Debug, Clone, PartialEq)]
pub enum JobStatus {
    /// No worker has begun it.
    Queued,
    /// At least one part was begun.
    Processing,
    /// Every image has its outcome, by position.
    Done {
        /// One outcome per image of the request.
        outcomes: Vec<ImageOutcome>,
        /// The slowest part's times.
        times: StageTimes,
    },
    /// It ended without results.
    Failed {
        /// The error.
        failure: JobFailure,
        /// A sentence.
        detail: String,
    },
}

/// A job as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// As accepted.
    pub record: JobRecord,
    /// Its progress.
    pub status: JobStatus,
}

impl Job {
    /// Returns whether it has ended, successfully or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.status {
            JobStatus::Queued | JobStatus::Processing => false,
            JobStatus::Done { .. } | JobStatus::Failed { .. } => true,
        }
    }

    /// Builds a job from what a store has: its record, whether any part was begun, the current number of parts (replays
    /// add some) and the results so far in order of their index.
    ///
    /// A later part overrides an earlier one's outcome for the same position. A job past its deadline with missing
    /// results has failed, whether or not a worker reported it.
    #[must_use]
    pub fn assemble(record: JobRecord, progress: Progress, now: Timestamp) -> Self {
        let status = progress.status(&record, now);
        Self { record, status }
    }
}

/// The changing part of a job in a store.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Whether a worker has begun any part.
    pub begun: bool,
    /// Current number of parts: those it was split into and those that replays added.
    pub parts: u32,
    /// The latest deadline: the record's, or a replay's.
    pub deadline: Timestamp,
    /// Results by part index, ascending.
    pub results: Vec<(u32, PartResult)>,
}

impl Progress {
    fn status(self, record: &JobRecord, now: Timestamp) -> JobStatus {
        if self.results.len() < self.parts as usize {
            return if now >= self.deadline.max(record.deadline) {
                JobStatus::Failed {
                    failure: JobFailure::DeadlineExceeded,
                    detail: "the deadline of the prediction passed before the workers finished it".to_owned(),
                }
            } else if self.begun || !self.results.is_empty() {
                JobStatus::Processing
            } else {
                JobStatus::Queued
            };
        }
        let mut outcomes: Vec<Option<ImageOutcome>> = vec![None; record.image_ids.len()];
        let mut times = StageTimes::default();
        let mut failed = None;
        for (_, result) in self.results {
            times.queue = times.queue.max(result.times.queue);
            times.decode = times.decode.max(result.times.decode);
            times.inference = times.inference.max(result.times.inference);
            match result.end {
                PartEnd::Done(list) => {
                    for (position, outcome) in list {
                        if let Some(slot) = outcomes.get_mut(position as usize) {
                            *slot = Some(outcome);
                        }
                    }
                }
                PartEnd::Failed(failure, detail) => failed = failed.or(Some((failure, detail))),
            }
        }
        match outcomes.into_iter().collect::<Option<Vec<_>>>() {
            Some(outcomes) => JobStatus::Done { outcomes, times },
            None => {
                let (failure, detail) = failed.unwrap_or((
                    JobFailure::Internal,
                    "the results of the workers do not cover every image".to_owned(),
                ));
                JobStatus::Failed { failure, detail }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a record and a part in releases before 0.2.
    #[derive(Serialize, Deserialize)]
    struct Before {
        id: JobId,
        top_k: u32,
    }

    #[test]
    fn a_record_without_a_client_is_written_as_before_and_one_with_is_read_by_the_release_before() {
        let record = JobRecord {
            id: JobId::random(),
            model: PinnedModel {
                name: ModelName::parse("m").unwrap(),
                version: ModelVersion::from_digest([0; 32]),
                generation: Generation(1),
            },
            accepted_at: Timestamp(1),
            deadline: Timestamp(2),
            retention: Duration::ZERO,
            image_ids: vec![0],
            parts: 1,
            top_k: NonZeroU32::new(3),
            idempotency: None,
            client: None,
            file_names: None,
        };
        let plain = rmp_serde::to_vec_named(&record).unwrap();
        let named = JobRecord { client: Some(ClientName::parse("mobile").unwrap()), ..record.clone() };
        let named_bytes = rmp_serde::to_vec_named(&named).unwrap();
        for name in ["client", "file_names"] {
            assert!(!plain.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
        }
        assert_eq!(rmp_serde::from_slice::<JobRecord>(&plain).unwrap(), record);
        assert_eq!(rmp_serde::from_slice::<JobRecord>(&named_bytes).unwrap(), named);
        let before: Before = rmp_serde::from_slice(&named_bytes).unwrap();
        assert_eq!((before.id, before.top_k), (record.id, 3));
        let unasked = JobRecord { top_k: None, ..record };
        let bytes = rmp_serde::to_vec_named(&unasked).unwrap();
        assert_eq!(rmp_serde::from_slice::<Before>(&bytes).unwrap().top_k, 0);
        assert_eq!(rmp_serde::from_slice::<JobRecord>(&bytes).unwrap(), unasked);
    }
}
