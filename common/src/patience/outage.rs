//! What is logged of a failure that lasts: its beginning, a change of its reason, a reminder now and then, and its end.
//! Never a line for each attempt.

use std::time::Duration;

use tokio::time::Instant;

/// Between two lines while the reason stays the same.
const SAME: Duration = Duration::from_secs(60);

/// Between two lines while the reason changes.
const CHANGED: Duration = Duration::from_secs(20);

/// Attempts that fail for a while: from the first one that fails to the next that succeeds.
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
    /// From the first failed attempt to the one that succeeded.
    pub lasted: Duration,
    /// How many failed.
    pub attempts: u64,
}

impl Outage {
    /// An attempt failed for this reason. Returns the number of failed attempts so far if a line is due.
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

    /// An attempt succeeded. Returns the outage that this ends, if there was one.
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
