//! Jobs, results and the fleet's state, as a trait with two implementations.

use std::time::Duration;

use async_trait::async_trait;

use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, Revision, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Timestamp};

mod clock;
pub mod in_memory;
pub mod redis;
mod watch;

pub use clock::StoreClock;
pub use watch::Watch;

/// Why a call to the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store is out of reach.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// The store will certainly refuse for now, for this reason: it is full, cannot write to its disk, or a permission
    /// is missing. An immediate retry is useless.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// A stored value could not be parsed.
    #[error("the store holds something that could not be understood: {0}")]
    Malformed(String),
}

/// Refuses a document of a newer version than this release reads.
fn refuse_newer(what: &str, version: u16, newest: u16) -> Result<(), StoreError> {
    if version <= newest {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{what} was written by a newer release: it has version {version}, and this release reads up to {newest}; \
         upgrade this program"
    )))
}

/// The result of storing a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It was stored.
    Accepted,
    /// The idempotency key belongs to this job, of the same request: it is queued, or has ended.
    SameRequest(JobId),
    /// The idempotency key belongs to this job of the same request, which is not queued yet.
    InProgress(JobId),
    /// The idempotency key belongs to another request.
    OtherRequest,
    /// The fleet's state has another revision than given: choose the model again.
    FleetChanged,
}

/// Whether a part is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is wanted.
    Yes,
    /// It was cancelled, has expired, or has its result already: drop it.
    No,
}

/// The result of storing a part's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was stored.
    First,
    /// Nothing changed: the part has a result already, or its job has ended or is forgotten.
    Ignored,
}

/// The result of replacing the fleet's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// It was replaced and has this revision.
    Done(Revision),
    /// Nothing changed: the state has another revision than given.
    Changed,
    /// Nothing changed: the call reached the store after its deadline.
    TooLate,
}

impl Replacement {
    /// Returns the new revision, if it was replaced.
    #[must_use]
    pub fn done(self) -> Option<Revision> {
        match self {
            Self::Done(revision) => Some(revision),
            Self::Changed | Self::TooLate => None,
        }
    }
}

/// The fleet's state and its revision, which a replacement must name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revised<T> {
    /// Its revision; [`Revision::NONE`] if it was never written.
    pub revision: Revision,
    /// The state.
    pub value: T,
}

/// Stores jobs, results and the fleet's state.
///
/// # Contract
///
/// - `put_job` either stores the whole record and claims its idempotency key, or changes nothing. It stores nothing
///   under another revision of the fleet's state than the given one, so that callers can use a remembered state.
/// - A part's first result stays; every later one is ignored. When the last missing result arrives, the job is finished
///   and all its waiters wake, in whichever process.
/// - A job that has ended does not change, also if its deadline ended it and a result comes late; only `reopen_part`
///   opens it again.
/// - A finished job is kept for its record's retention; an unfinished one until its deadline and then as long, unless
///   `forget_after` shortens it. After that it is unknown. A cancelled job is unknown at once, and its idempotency key
///   is free.
/// - `replace_fleet` is compare-and-set on the whole document: of two replacements of the same revision exactly one
///   succeeds.
/// - Each revision is unique: a store that comes back with an older state, or with none, never assigns a revision again
///   that a process has seen.
/// - The index of a reopened part is unique: a store that comes back with older data assigns it to the same part again,
///   or to none.
/// - A document of a newer version than this release reads is [`StoreError::Refused`], with both versions, and is not
///   changed.
/// - A replacement that reaches the store after `not_after`, by the store's clock, changes nothing.
/// - A worker's report expires after `ttl`. Unreadable reports are left out, counted and logged.
/// - Moments are those of the store's clock, which [`Store::now`] returns.
/// - Every call ends within a bounded time, also while the store is out of reach. `wait` and `job` never report a
///   finished job as unfinished because of a missed wake-up.
/// - A watch that began before its job was stored does not miss the job's end.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Checks whether the store would accept a job now: it lets this process in and can write.
    async fn can_write(&self) -> Result<(), StoreError>;

    /// Returns the time of the store's clock, as far as this process knows it. All deadlines and leases use it.
    fn now(&self) -> Timestamp;

    /// Returns how far this host's clock is ahead of the store's, in milliseconds; `None` before the first answer.
    fn clock_offset(&self) -> Option<i64>;

    /// Stores a new job whose model was chosen from this revision of the fleet's state.
    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError>;

    /// Notes that all parts of a job with an idempotency key are queued.
    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError>;

    /// Reads a job.
    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError>;

    /// Watches a job from now on; it may be unknown yet.
    fn watch(&self, job: JobId) -> Watch;

    /// Waits at most this long until the watched job is finished, and reads it.
    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError>;

    /// Cancels a job: its parts that were not begun are not wanted any more. Returns whether it was known.
    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError>;

    /// Forgets a job whose request was refused, unless another request with the same idempotency key may know it: then
    /// it is queued, or has ended.
    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError>;

    /// Expires finished jobs this long from now, whatever their retention; others do not change.
    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError>;

    /// Notes that a worker begins a part, and returns whether the part is still wanted.
    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError>;

    /// Stores the result of a part.
    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError>;

    /// Counts one more try of an image of a part that was delivered before, and returns the count, from 1. A part's
    /// counts are deleted with its result. If the part has a result or its job is forgotten, returns 1 without
    /// counting.
    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError>;

    /// Takes one try back: the image was tried and the worker survived.
    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError>;

    /// Allows another result for a failed part, with a new deadline. Returns the index to use: the part's own while it
    /// has no result, else a new one, whose outcomes override the earlier ones. Repeated calls return the same new
    /// index while that has no result. `None` if the job is forgotten.
    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError>;

    /// Returns the fleet's wanted state; the default with [`Revision::NONE`] if it was never written.
    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError>;

    /// Replaces the state if it still has this revision, at the latest at `not_after` if given.
    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError>;

    /// Renews a worker's report.
    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError>;

    /// Deletes the report of a worker that ends.
    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Returns the reports that have not expired, by id.
    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError>;
}
