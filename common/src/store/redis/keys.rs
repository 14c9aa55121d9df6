//! Names of keys.

use crate::ids::JobId;

/// The keys of one fleet. The prefix is in braces, so that a Redis Cluster keeps them on one node, where scripts can
/// use them together.
pub(super) struct Keys {
    pub(super) jobs: String,
    pub(super) idempotency: String,
    /// The channel on which ended jobs are published.
    pub(super) ends: String,
    pub(super) fleet: String,
    pub(super) workers: String,
    pub(super) worker_ends: String,
    /// The key that is written to check whether Redis accepts writes.
    pub(super) probe: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |tail: &str| format!("{{{prefix}}}:{tail}");
        Self {
            jobs: name("job:"),
            idempotency: name("idempotency:"),
            ends: name("ended"),
            fleet: name("fleet"),
            workers: name("workers"),
            worker_ends: name("workers:until"),
            probe: name("probe"),
        }
    }

    pub(super) fn job(&self, job: JobId) -> String {
        format!("{}{job}", self.jobs)
    }

    pub(super) fn tries(&self, job: JobId) -> String {
        format!("{}{job}:tries", self.jobs)
    }

    pub(super) fn cancelled(&self, job: JobId) -> String {
        format!("{}{job}:cancelled", self.jobs)
    }
}
