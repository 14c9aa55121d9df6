//! Counts how requests ended, and their latencies.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::request::{Ended, Fate};

/// The counts so far.
#[derive(Debug, Default)]
pub struct Tally {
    sent: usize,
    answered: usize,
    refused: usize,
    failed: usize,
    lost: usize,
    wrong_model: usize,
    duplicated: usize,
    predictions: HashSet<String>,
    latencies: Vec<Duration>,
    errors: BTreeMap<String, usize>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    sent: usize,
    answered: usize,
    refused: usize,
    failed: usize,
    lost: usize,
    duplicated: usize,
    wrong_model: usize,
    answered_per_second: f64,
    latency_seconds: Latency,
    /// The error messages and their counts.
    errors: BTreeMap<String, usize>,
}

/// Quantiles of the latency of answered requests, in seconds; zero without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, ended: Ended) {
        self.sent += 1;
        self.duplicated += ended.repeated_results;
        if ended.prediction.is_some_and(|prediction| !self.predictions.insert(prediction)) {
            self.duplicated += 1;
        }
        match ended.fate {
            Fate::Answered => {
                self.answered += 1;
                self.latencies.push(ended.latency);
            }
            Fate::WrongModel => self.wrong_model += 1,
            Fate::Refused => self.refused += 1,
            Fate::Failed(words) => {
                self.failed += 1;
                *self.errors.entry(words).or_default() += 1;
            }
            Fate::Lost(words) => {
                self.lost += 1;
                *self.errors.entry(words).or_default() += 1;
            }
        }
    }

    /// Returns the report after this time.
    #[must_use]
    pub fn report(mut self, elapsed: Duration) -> Report {
        self.latencies.sort_unstable();
        let quantile = |share: f64| nearest_rank(&self.latencies, share).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
        let answered_per_second = self.answered as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        Report {
            sent: self.sent,
            answered: self.answered,
            refused: self.refused,
            failed: self.failed,
            lost: self.lost,
            duplicated: self.duplicated,
            wrong_model: self.wrong_model,
            answered_per_second,
            latency_seconds: Latency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                max: quantile(1.0),
            },
            errors: self.errors,
        }
    }
}

/// Returns the smallest value that at least this share of all does not exceed; `sorted` ascends.
fn nearest_rank(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 0 and the number of requests"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

impl Report {
    /// Returns whether requests were answered and none failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.answered > 0 && self.failed + self.lost + self.duplicated + self.wrong_model == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, max } = self.latency_seconds;
        writeln!(
            f,
            "{} sent: {} answered, {} refused, {} failed, {} lost, {} duplicated, {} of a wrong model",
            self.sent, self.answered, self.refused, self.failed, self.lost, self.duplicated, self.wrong_model
        )?;
        for (words, count) in &self.errors {
            writeln!(f, "  {count} × {words}")?;
        }
        write!(
            f,
            "{:.1} answers/s; latency p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.answered_per_second,
            p50 * 1e3,
            p90 * 1e3,
            p99 * 1e3,
            max * 1e3
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(fate: Fate, milliseconds: u64, prediction: &str) -> Ended {
        let latency = Duration::from_millis(milliseconds);
        Ended { fate, prediction: Some(prediction.to_owned()), repeated_results: 0, latency }
    }

    #[test]
    fn quantiles_are_latencies_that_were_measured() {
        let hundred: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (share, milliseconds) in [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100)] {
            assert_eq!(nearest_rank(&hundred, share), Duration::from_millis(milliseconds));
        }
        assert_eq!(nearest_rank(&[], 0.5), Duration::ZERO);
        assert_eq!(nearest_rank(&hundred[..1], 0.01), Duration::from_millis(1));
    }

    #[test]
    fn each_fate_is_counted_once_and_any_fault_is_not_clean() {
        for (fate, clean) in [
            (Fate::Answered, true),
            (Fate::Refused, true),
            (Fate::WrongModel, false),
            (Fate::Failed("x".to_owned()), false),
            (Fate::Lost("x".to_owned()), false),
        ] {
            let mut tally = Tally::default();
            tally.add(ended(Fate::Answered, 5, "a"));
            tally.add(ended(fate.clone(), 5, "b"));
            let report = tally.report(Duration::from_secs(1));
            let counted = report.answered + report.refused + report.wrong_model + report.failed + report.lost;
            assert_eq!((counted, report.is_clean()), (2, clean), "{fate:?}");
        }
        assert!(!Tally::default().report(Duration::from_secs(1)).is_clean(), "nothing was answered");
    }

    #[test]
    fn one_prediction_for_two_requests_is_a_duplicate() {
        let mut tally = Tally::default();
        tally.add(ended(Fate::Answered, 5, "same"));
        tally.add(ended(Fate::Answered, 5, "same"));
        assert_eq!(tally.report(Duration::from_secs(1)).duplicated, 1);
    }
}
