//! The workers' reports without unreadable ones: a worker of another release, or a stray entry, must not hide the
//! others.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::documents;
use crate::fleet::WorkerReport;
use crate::telemetry::shared_names::UNREADABLE_REPORTS_TOTAL;

/// Workers whose unreadable reports were logged.
#[derive(Default)]
pub(super) struct RollCall {
    unreadable: Mutex<BTreeSet<String>>,
}

impl RollCall {
    /// Returns the reports by worker. Unreadable ones are counted each time and logged once.
    pub(super) fn read(&self, reports: HashMap<String, Vec<u8>>) -> Vec<WorkerReport> {
        let mut unreadable = BTreeSet::new();
        let mut known = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let mut readable = Vec::with_capacity(reports.len());
        for (worker, json) in reports {
            match documents::report(&json) {
                Ok(report) => readable.push(report),
                Err(error) => {
                    metrics::counter!(UNREADABLE_REPORTS_TOTAL).increment(1);
                    if !known.contains(&worker) {
                        tracing::warn!(
                            %worker, %error,
                            "the worker is left out of the fleet's list: its report is from a newer release or invalid"
                        );
                    }
                    unreadable.insert(worker);
                }
            }
        }
        // Entries of workers that left are removed, so that this does not grow.
        *known = unreadable;
        readable.sort_by(|one, other| one.id.cmp(&other.id));
        readable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_report_cannot_be_read_is_remembered_while_it_is_there() {
        let roll_call = RollCall::default();
        let known = || roll_call.unreadable.lock().unwrap().iter().cloned().collect::<Vec<_>>();
        let garbage = |worker: &str| HashMap::from([(worker.to_owned(), b"no json".to_vec())]);
        for worker in ["a", "a", "b"] {
            assert_eq!(roll_call.read(garbage(worker)), []);
            assert_eq!(known(), [worker]);
        }
        roll_call.read(HashMap::new());
        assert!(known().is_empty());
    }
}
