//! What has to happen at once, as scripts that Redis runs. Each is one round trip.
//!
//! Redis's own clock decides in them whether a job has ended, so that two hosts never disagree.

use redis::Script;

/// All scripts; each says in its file what it takes and gives.
pub(super) struct Scripts {
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

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            put_job: Script::new(include_str!("put_job.lua")),
            confirm_job: Script::new(include_str!("confirm_job.lua")),
            cancel_job: Script::new(include_str!("cancel_job.lua")),
            forget_after: Script::new(include_str!("forget_after.lua")),
            begin_part: Script::new(include_str!("begin_part.lua")),
            put_part: Script::new(include_str!("put_part.lua")),
            begin_try: Script::new(include_str!("begin_try.lua")),
            end_try: Script::new(include_str!("end_try.lua")),
            reopen_part: Script::new(include_str!("reopen_part.lua")),
            replace_fleet: Script::new(include_str!("replace_fleet.lua")),
            report_worker: Script::new(include_str!("report_worker.lua")),
            remove_worker: Script::new(include_str!("remove_worker.lua")),
            workers: Script::new(include_str!("workers.lua")),
        }
    }
}
