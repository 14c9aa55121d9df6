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

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store is out of reach.
    #[error("the store is out of reach: {0}")]
    Unavailable(String),
    /// The store is certain to refuse for now, for this reason: it is full, cannot write to its disk, the user may
    /// not. Trying again at once is of no use.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// Something in the store could not be read.
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

/// What became of a replacement of the fleet's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// It stands under this revision.
    Done(Revision),
    /// The state has another revision than the one named: nothing changed.
    Changed,
    /// It reached the store after the moment until which it was wanted: nothing changed.
    TooLate,
}

impl Replacement {
    /// The new revision, if it was done.
    #[must_use]
    pub fn done(self) -> Option<Revision> {
        match self {
            Self::Done(revision) => Some(revision),
            Self::Changed | Self::TooLate => None,
        }
    }
}

/// The fleet's state and the revision that a replacement must name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revised<T> {
    /// Names this state; [`Revision::NONE`] when there never was one.
    pub revision: Revision,
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
/// - Each revision is new: a store that comes back with an older state, or with none, never gives a revision that
///   somebody has seen to another state.
/// - The index of a reopened part is never another part's: a store that comes back with older data gives it to the
///   same part again, or to none.
/// - A document of a newer form than this release reads is [`StoreError::Refused`], by both versions, and stays as it is.
/// - A replacement that reaches the store after `not_after`, by the store's clock, changes nothing.
/// - A worker's report lasts `ttl`. Reports that cannot be read are left out, counted and logged.
/// - Moments are those of the store's clock, which [`Store::now`] tells.
/// - Every call ends within a bounded time, also while the store is away; `wait` and `job` never take a
///   finished job for an unfinished one because a wake-up was missed.
/// - A watch that began before its job was put does not miss the job's end.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns whether the store would take a job now: it lets this process in and writes.
    async fn can_write(&self) -> Result<(), StoreError>;

    /// The time by the store's clock, as far as this process knows it: every deadline and lease goes by it.
    fn now(&self) -> Timestamp;

    /// How far this host's clock is ahead of the store's, in milliseconds; none before the first answer.
    fn clock_offset(&self) -> Option<i64>;

    /// Stores a new job whose model was chosen from this revision of the fleet's state.
    async fn put_job(&self, record: &JobRecord, fleet: Revision) -> Result<Acceptance, StoreError>;

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

    /// Forgets a job whose request was refused, unless another request with the same idempotency key may have been
    /// told of it: it is safely queued, or has ended.
    async fn withdraw_job(&self, job: JobId) -> Result<(), StoreError>;

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

    /// The fleet's wanted state; the default at [`Revision::NONE`] when none was ever written.
    async fn fleet(&self) -> Result<Revised<FleetState>, StoreError>;

    /// Replaces the state if it still has this revision, at the latest at `not_after` where that is given.
    async fn replace_fleet(
        &self,
        revision: Revision,
        next: &FleetState,
        not_after: Option<Timestamp>,
    ) -> Result<Replacement, StoreError>;

    /// Renews a worker's report.
    async fn report_worker(&self, report: &WorkerReport, ttl: Duration) -> Result<(), StoreError>;

    /// Forgets a worker that leaves.
    async fn remove_worker(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Reports that have not expired, by id.
    async fn workers(&self) -> Result<Vec<WorkerReport>, StoreError>;
}
