//! Logs a lasting failure: its beginning, changes of its reason, reminders at intervals, and its end; never a line per
//! attempt.

use std::time::Duration;

use tokio::time::Instant;

/// Interval between two lines while the reason stays the same.
const SAME: Duration = Duration::from_secs(60);

/// Interval between two lines while the reason changes.
const CHANGED: Duration = Duration::from_secs(20);

/// A series of failed attempts, from the first failure to the next success.
#[derive(Debug, Default)]
pub struct Outage {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    attempts: u64,
    said: String,
    said_at: Instant,
}

/// An outage that is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Over {
    /// From the first failed attempt to the successful one.
    pub lasted: Duration,
    /// Number of failed attempts.
    pub attempts: u64,
}

impl Outage {
    /// Notes a failed attempt. Returns the number of failed attempts so far if a line is due.
    pub fn failed(&mut self, reason: &str, now: Instant) -> Option<u64> {
        let Some(current) = &mut self.current else {
            self.current = Some(Current { since: now, attempts: 1, said: reason.to_owned(), said_at: now });
            return Some(1);
        };
        current.attempts += 1;
        let rest = if current.said == reason { SAME } else { CHANGED };
        if now.duration_since(current.said_at) < rest {
            return None;
        }
        reason.clone_into(&mut current.said);
        current.said_at = now;
        Some(current.attempts)
    }

    /// Notes a successful attempt. Returns the outage that it ends.
    pub fn over(&mut self, now: Instant) -> Option<Over> {
        let current = self.current.take()?;
        Some(Over { lasted: now.duration_since(current.since), attempts: current.attempts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reason: impl Fn(u64) -> String) -> u64 {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        let attempts = 0..1_200;
        let logged = attempts.filter(|number| {
            outage.failed(&reason(*number), begin + Duration::from_millis(500 * number)).is_some()
        });
        logged.count() as u64
    }

    #[test]
    fn ten_minutes_of_failures_are_a_few_lines() {
        assert_eq!(lines(|_| "refused".to_owned()), 10);
        assert_eq!(lines(|number| format!("refused {number}")), 30);
    }

    #[test]
    fn beginning_change_and_end_are_told() {
        let (mut outage, begin) = (Outage::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(outage.over(begin), None);
        assert_eq!(outage.failed("refused", begin), Some(1));
        assert_eq!(outage.failed("refused", after(1)), None);
        assert_eq!(outage.failed("no host", after(25)), Some(3));
        assert_eq!(outage.over(after(30)), Some(Over { lasted: Duration::from_secs(30), attempts: 3 }));
        assert_eq!(outage.failed("refused", after(31)), Some(1));
    }
}
