//! Why a request fails, whichever door it came through. Knows no HTTP: each door renders failures in its own way.

mod causes;
pub(crate) mod code;

use std::time::Duration;

use common::broker::BrokerError;
use common::ids::{Generation, JobId};
use common::messages::{ImageError, ImageErrorCode};
use common::package::PackageError;
use common::store::StoreError;

use self::causes::Seldom;
pub(crate) use self::causes::without_credentials;
pub(crate) use self::code::Code;
use crate::rollout::SwapError;
use crate::wire::health::ChecksView;

/// When to try again while the broker or the store is out of reach.
const OUT_OF_REACH: Duration = Duration::from_secs(5);

static STORE_FAILURES: Seldom = Seldom::of("the store fails requests");
static BROKER_FAILURES: Seldom = Seldom::of("the broker fails requests");

/// Why a request fails.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// Its row of the table.
    pub code: Code,
    /// A sentence that names the object, the fact and the expectation.
    pub detail: String,
    /// After how long a retry makes sense.
    pub retry_after: Option<Duration>,
    /// What it is about.
    pub facts: Box<Facts>,
}

/// What a failure is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// All problems of an invalid package.
    pub problems: Option<Vec<String>>,
    /// The images of a request in which none could be classified.
    pub images: Option<Vec<FailedImage>>,
    /// The job that goes on although this request failed.
    pub job: Option<JobId>,
    /// A rollout.
    pub rollout: Option<AboutRollout>,
    /// The readiness checks.
    pub checks: Option<ChecksView>,
}

/// An image that could not be classified.
#[derive(Debug, Clone)]
pub(crate) struct FailedImage {
    /// The client's id.
    pub id: i64,
    /// The name of its file, if it has one.
    pub file_name: Option<String>,
    /// Why.
    pub error: ImageError,
}

/// The rollout that a failure is about, by its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AboutRollout {
    /// It is running.
    Running(Generation),
    /// It was rolled back.
    RolledBack(Generation),
}

impl Failure {
    /// Creates a failure with a sentence that names the object, the fact and the expectation.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None, facts: Box::default() }
    }

    /// Creates an internal error: the cause is logged, the client sees only that it is a bug.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed because of a bug");
        Self::new(Code::Internal, "the server failed to answer this request, its log says why")
    }

    /// The failure for a prediction that is not known.
    pub(crate) fn unknown_prediction(id: impl std::fmt::Display) -> Self {
        let id: String = id.to_string().chars().take(64).collect();
        Self::new(
            Code::UnknownPrediction,
            format!("prediction `{id}` is not known: it never was, was deleted, or is past its retention"),
        )
    }

    /// The failure of a request in which no image could be classified, or in which all are too large.
    pub(crate) fn nothing_classified(images: Vec<FailedImage>) -> Self {
        let all_too_large = images.iter().all(|image| image.error.code == ImageErrorCode::ImageTooLarge);
        let code = if all_too_large { Code::ImageTooLarge } else { Code::NoImageClassified };
        let detail = match images.as_slice() {
            [image] => image.error.detail.clone(),
            several => {
                format!("none of the {} images could be classified, `results` says why", several.len())
            }
        };
        let mut failure = Self::new(code, detail);
        failure.facts.images = Some(images);
        failure
    }

    /// Tells when a retry makes sense.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Lists all problems of a package.
    pub(crate) fn with_problems(mut self, problems: Vec<String>) -> Self {
        self.facts.problems = Some(problems);
        self
    }

    /// Names the job that goes on although the request failed.
    pub(crate) fn with_job(mut self, job: JobId) -> Self {
        self.facts.job = Some(job);
        self
    }

    /// Names the rollout that it is about.
    pub(crate) fn with_rollout(mut self, rollout: AboutRollout) -> Self {
        self.facts.rollout = Some(rollout);
        self
    }

    /// Shows the readiness checks.
    pub(crate) fn with_checks(mut self, checks: ChecksView) -> Self {
        self.facts.checks = Some(checks);
        self
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let detail = match &error {
            StoreError::Unavailable(why) => format!("the store of jobs and results is out of reach: {why}"),
            StoreError::Refused(why) => format!("the store of jobs and results refuses for now: {why}"),
            StoreError::Malformed(_) => return Self::internal(error),
        };
        STORE_FAILURES.say(&error);
        Self::new(Code::StoreUnavailable, without_credentials(&detail)).retry_after(OUT_OF_REACH)
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let detail = match &error {
            BrokerError::Full => return Self::new(Code::QueueFull, "the queue is full, try again later"),
            BrokerError::Unavailable(why) => {
                format!("the broker that queues the work is out of reach: {why}")
            }
            BrokerError::Refused(why) => format!("the broker that queues the work refuses for now: {why}"),
            BrokerError::Malformed(_) => return Self::internal(error),
        };
        BROKER_FAILURES.say(&error);
        Self::new(Code::BrokerUnavailable, without_credentials(&detail)).retry_after(OUT_OF_REACH)
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let detail = error.to_string();
        match error {
            PackageError::Missing(_) => Self::new(Code::UnknownModel, detail),
            PackageError::Invalid { problems, .. } => {
                Self::new(Code::UnservableModel, detail).with_problems(problems)
            }
            PackageError::Unreadable { .. } => {
                tracing::warn!(%detail, "a model package cannot be read");
                Self::new(Code::UnreadableModel, detail).retry_after(OUT_OF_REACH)
            }
        }
    }
}

impl From<SwapError> for Failure {
    fn from(error: SwapError) -> Self {
        match error {
            SwapError::Busy(generation) => Self::new(
                Code::RolloutRunning,
                format!("rollout {generation} is still running, a new one can begin once it has ended"),
            )
            .with_rollout(AboutRollout::Running(generation))
            .retry_after(Duration::from_secs(1)),
            SwapError::NothingToRollBackTo => Self::new(
                Code::NothingToRollBackTo,
                "no model was active before the present one, so there is nothing to go back to",
            ),
            SwapError::TooLate => Self::new(
                Code::StoreUnavailable,
                "the store did not record the rollout in time: it was not begun and is not begun any more, try again",
            )
            .retry_after(OUT_OF_REACH),
            // The client has disconnected.
            SwapError::GivenUp => Self::new(Code::BadRequest, error.to_string()),
            SwapError::Store(error) => error.into(),
        }
    }
}
