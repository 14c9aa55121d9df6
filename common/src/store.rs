//! Jobs, results and the fleet's state, as a trait with two implementations.

use std::time::Duration;

use async_trait::async_trait;

use crate::fleet::{FleetState, WorkerReport};
use crate::ids::{JobId, WorkerId};
use crate::messages::{Job, JobRecord, PartId, PartResult, Timestamp};

#[cfg(feature = "testing")]
pub mod contract;
pub mod in_memory;
pub mod redis;
mod watch;

pub use watch::Watch;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store is out of reach.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// Something in the store could not be read.
    #[error("the store holds something that could not be understood: {0}")]
    Malformed(String),
}

/// What became of a job that was to be put into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// It is new.
    Accepted,
    /// The idempotency key belongs to this job, of the same request: it is safely queued, or has ended.
    SameRequest(JobId),
    /// The idempotency key belongs to a job of the same request that is not safely queued yet.
    InProgress(JobId),
    /// The idempotency key belongs to another request.
    OtherRequest,
    /// The fleet's state has another revision than was named: choose the model anew.
    FleetChanged,
}

/// Whether anybody still wants a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Do it.
    Yes,
    /// It was cancelled, has expired, or has its result already: drop it.
    No,
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is the part's result now.
    First,
    /// The part had one already, or its job has ended or was forgotten: nothing changed.
    Ignored,
}

/// The fleet's state and the revision that a replacement must name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revised<T> {
    /// Counts the replacements; 0 when there never was one.
    pub revision: u64,
    /// The value.
    pub value: T,
}

/// Keeps jobs, results and the fleet's state.
///
/// # Contract
///
/// - `put_job` either stores the whole record and claims its idempotency key, or changes nothing. It stores
///   nothing new under another revision of the fleet's state than the one named: whoever remembers the
///   state need not ask whether it is still true.
/// - A part's first result stays; every later one is ignored. When the last missing result arrives, the
///   job is finished and everybody who waits for it wakes, in whichever process.
/// - A job that has ended stays as it is, also when its deadline ended it and a result comes late; only
///   `reopen_part` opens it again.
/// - A finished job is kept for its record's retention; an unfinished one until its deadline and then
///   as long, unless `forget_after` says otherwise. After that it is unknown. A cancelled job is unknown at once, its
///   idempotency key free.
/// - `replace_fleet` is compare-and-set on the whole document: of two replacements that name the same
///   revision exactly one happens.
/// - A worker's report lasts `ttl`.
/// - Every call ends within a bounded time, also while the store is away; `wait` and `job` never take a
///   finished job for an unfinished one because a wake-up was missed.
/// - A watch that began before its job was put does not miss the job's end.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Stores a new job whose model was chosen from this revision of the fleet's state.
    async fn put_job(&self, record: &JobRecord, fleet: u64) -> Result<Acceptance, StoreError>;

    /// Notes that all parts of a job with an idempotency key are safely queued.
    async fn confirm_job(&self, job: JobId) -> Result<(), StoreError>;

    /// Looks a job up.
    async fn job(&self, job: JobId) -> Result<Option<Job>, StoreError>;

    /// Watches a job from now on; it need not be known yet.
    fn watch(&self, job: JobId) -> Watch;

    /// Waits until the watched job is finished, at most this long, and looks it up.
    async fn wait(&self, watch: Watch, limit: Duration) -> Result<Option<Job>, StoreError>;

    /// Forgets a job: parts that were not begun are not wanted any more. Whether it was known.
    async fn cancel_job(&self, job: JobId) -> Result<bool, StoreError>;

    /// Keeps jobs that are finished this long from now on, whatever their retention; others stay as they are.
    async fn forget_after(&self, jobs: &[JobId], span: Duration) -> Result<(), StoreError>;

    /// Notes that a worker begins a part, and says whether it should.
    async fn begin_part(&self, part: PartId) -> Result<Wanted, StoreError>;

    /// Stores the result of a part.
    async fn put_part(&self, part: PartId, result: &PartResult) -> Result<Stored, StoreError>;

    /// Counts one more try of one image of a part that was delivered before; returns the count, from 1.
    /// The counts of a part are forgotten with its result; nothing is counted (1) for a part that has one
    /// or whose job is forgotten.
    async fn begin_try(&self, part: PartId, position: u32) -> Result<u32, StoreError>;

    /// Takes one try back: the image was tried and the worker lives.
    async fn end_try(&self, part: PartId, position: u32) -> Result<(), StoreError>;

    /// Makes room for another result of a part that ended in an error, under a new deadline. Returns the
    /// part index to use: the part's own while it has no result, else a new one, whose outcomes override
    /// the earlier. Done twice, it makes room once: a new index without a result is given again. `None`
    /// when the job is forgotten.
    async fn reopen_part(&self, part: PartId, deadline: Timestamp) -> Result<Option<PartId>, StoreError>;

    /// The fleet's wanted state; the default at revision 0 when none was ever written.
    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError>;

    /// Replaces the state if it still has this revision; the new revision, or `None` if it has not.
    async fn replace_fleet(&self, revision: u64, next: &FleetState) -> Result<Option<u64>, StoreError>;

    /// Renews a worker's report.
    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError>;

    /// Forgets a worker that leaves.
    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Reports that have not expired, by id.
    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError>;
}
