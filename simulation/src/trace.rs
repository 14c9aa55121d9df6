//! The events of a run, in order, with simulated times.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::ids::JobId;
use common::messages::Timestamp;
use tokio::time::Instant;

/// The moment at which every world begins, in milliseconds since the Unix epoch.
const BEGIN: u64 = 1_800_000_000_000;

/// The simulated time, and the events.
#[derive(Debug)]
pub struct Trace {
    began: Instant,
    written: bool,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    lines: Vec<String>,
    violations: Vec<String>,
    /// Jobs numbered by their first use: their ids are random.
    jobs: HashMap<JobId, usize>,
}

impl Trace {
    /// Creates an empty trace that begins now; it records all events or only violations.
    #[must_use]
    pub fn begin(written: bool) -> Self {
        Self { began: Instant::now(), written, notes: Mutex::default() }
    }

    /// Returns the milliseconds since the world began.
    #[must_use]
    pub fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns the servers' time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(BEGIN + self.elapsed())
    }

    /// Returns the moment so many milliseconds after the begin.
    #[must_use]
    pub fn moment(&self, milliseconds: u64) -> Instant {
        self.began + std::time::Duration::from_millis(milliseconds)
    }

    /// Records an event.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if self.written {
            let line = self.line(&what());
            self.notes().lines.push(line);
        }
    }

    /// Records a violation.
    pub fn violation(&self, what: &str) {
        let line = self.line(&format!("VIOLATION {what}"));
        let mut notes = self.notes();
        notes.violations.push(line.clone());
        notes.lines.push(line);
    }

    /// Returns a job's name in this world.
    #[must_use]
    pub fn job(&self, job: JobId) -> String {
        let mut notes = self.notes();
        let next = notes.jobs.len() + 1;
        format!("j{}", notes.jobs.entry(job).or_insert(next))
    }

    /// Returns all events.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.notes().lines.clone()
    }

    /// Returns the violations.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.notes().violations.clone()
    }

    fn line(&self, what: &str) -> String {
        let elapsed = self.elapsed();
        format!("{:>4}.{:03} {what}", elapsed / 1000, elapsed % 1000)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
