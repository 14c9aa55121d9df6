//! Logs problems of the store, without a line per call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::faults::RedisFault;
use crate::patience::{Outage, Over};

/// Outages of the store's calls, of both kinds: Redis was not reached, and Redis answered with an error.
///
/// Any answer ends the first. The second ends when the call that failed works: a full store still answers reads.
#[derive(Default)]
pub(super) struct Troubles {
    reach: Mutex<Outage>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    outage: Outage,
    /// The call that failed last.
    call: Option<&'static str>,
}

impl Troubles {
    /// Notes that a call failed.
    pub(super) fn met(&self, call: &'static str, fault: &RedisFault) {
        if fault.is_answer {
            let mut answers = lock(&self.answers);
            answers.call = Some(call);
            log_failure(&mut answers.outage, fault);
        } else {
            self.not_reached(fault);
        }
    }

    /// Redis was not reached, or did not let this process in.
    pub(super) fn not_reached(&self, fault: &RedisFault) {
        log_failure(&mut lock(&self.reach), fault);
    }

    /// Notes that a call worked.
    pub(super) fn over(&self, call: &'static str) {
        log_end(lock(&self.reach).over(Instant::now()));
        let mut answers = lock(&self.answers);
        if answers.call == Some(call) {
            answers.call = None;
            log_end(answers.outage.over(Instant::now()));
        }
    }
}

fn log_failure(outage: &mut Outage, fault: &RedisFault) {
    if let Some(attempts) = outage.failed(&fault.text, Instant::now()) {
        tracing::warn!(reason = %fault.text, attempts, "Redis cannot be used");
    }
}

fn log_end(over: Option<Over>) {
    if let Some(over) = over {
        tracing::info!(
            attempts = over.attempts,
            seconds = over.lasted.as_secs_f64(),
            "Redis can be used again"
        );
    }
}

fn lock<T>(trouble: &Mutex<T>) -> MutexGuard<'_, T> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_that_answers_readers_is_one_trouble() {
        let troubles = Troubles::default();
        let full = RedisFault {
            remedy: super::super::faults::Remedy::Refuse,
            is_answer: true,
            text: "OOM".to_owned(),
        };
        troubles.met("put_job", &full);
        troubles.over("fleet");
        assert_eq!(lock(&troubles.answers).call, Some("put_job"));
        troubles.over("put_job");
        assert_eq!(lock(&troubles.answers).call, None);
        assert_eq!(lock(&troubles.answers).outage.over(Instant::now()), None);
    }
}
