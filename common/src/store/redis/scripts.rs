//! The atomic changes, as scripts that Redis runs. Each is one round trip.
//!
//! They use Redis's own clock to decide whether a job has ended, so that hosts never disagree. Each may run twice,
//! since an answer can be lost: the second run changes nothing and returns the same answer.

use redis::Script;

/// The scripts. Each file describes its arguments and result.
pub(super) struct Scripts {
    pub(super) can_write: Script,
    pub(super) put_job: Script,
    pub(super) confirm_job: Script,
    pub(super) cancel_job: Script,
    pub(super) forget_after: Script,
    pub(super) begin_part: Script,
    pub(super) put_part: Script,
    pub(super) begin_try: Script,
    pub(super) end_try: Script,
    pub(super) reopen_part: Script,
    pub(super) replace_fleet: Script,
    pub(super) report_worker: Script,
    pub(super) remove_worker: Script,
    pub(super) workers: Script,
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("prelude.lua"), include_str!($file)))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            can_write: script!("can_write.lua"),
            put_job: script!("put_job.lua"),
            confirm_job: script!("confirm_job.lua"),
            cancel_job: script!("cancel_job.lua"),
            forget_after: script!("forget_after.lua"),
            begin_part: script!("begin_part.lua"),
            put_part: script!("put_part.lua"),
            begin_try: script!("begin_try.lua"),
            end_try: script!("end_try.lua"),
            reopen_part: script!("reopen_part.lua"),
            replace_fleet: script!("replace_fleet.lua"),
            report_worker: script!("report_worker.lua"),
            remove_worker: script!("remove_worker.lua"),
            workers: script!("workers.lua"),
        }
    }
}
