//! Retries while a server is out of reach: how long to pause, when to give up, and what to log.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

pub use outage::{Outage, Over};

use crate::simulated;

mod outage;

/// First pause between two attempts of a call: short compared with a server's restart, long compared with a refused
/// connection.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause between two attempts of a call.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Exponential back-off: each pause is twice as long as the one before, up to a maximum, and shortened at random by up
/// to a half, so that callers that failed together do not retry together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    full: Duration,
    random: u64,
}

impl Backoff {
    /// Creates pauses from `first` to `longest`, with a random seed.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self::seeded(first, longest, new_seed())
    }

    /// Creates pauses that are the same for the same seed.
    #[must_use]
    pub fn seeded(first: Duration, longest: Duration, seed: u64) -> Self {
        Self { first, longest, full: first.min(longest), random: seed }
    }

    /// Goes on where others have paused this often already.
    #[must_use]
    pub fn after(mut self, pauses: u32) -> Self {
        self.full = self.first.saturating_mul(2_u32.saturating_pow(pauses)).min(self.longest);
        self
    }

    /// Returns the next pause.
    #[must_use]
    pub fn next_pause(&mut self) -> Duration {
        let full = self.full;
        self.full = full.saturating_mul(2).min(self.longest);
        full.mul_f64(0.5 + self.fraction() / 2.0)
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        sleep(self.next_pause()).await;
    }

    /// Starts again with the first pause, after a success.
    pub fn reset(&mut self) {
        self.full = self.first.min(self.longest);
    }

    /// Returns a number from 0 to 1, by SplitMix64 (Steele, Lea and Flood 2014).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
    }
}

fn new_seed() -> u64 {
    simulated::next_seed().unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0)
}

/// Retries until an attempt succeeds, fails for good, or `limit` is over.
///
/// # Errors
/// The error of the last attempt, or `None` if no attempt ended in time.
pub async fn persist<T, E, F>(
    limit: Duration,
    mut attempt: impl FnMut() -> F,
    is_transient: impl Fn(&E) -> bool,
) -> Result<T, Option<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + limit;
    let mut backoff = None;
    let mut last = None;
    loop {
        match timeout_at(until, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if is_transient(&error) => last = Some(error),
            Ok(Err(error)) => return Err(Some(error)),
            Err(_) => return Err(last),
        }
        let backoff = backoff.get_or_insert_with(|| Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
        let pause = backoff.next_pause();
        if Instant::now() + pause >= until {
            return Err(last);
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::seeded(first, longest, 7);
        for full in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next_pause().as_millis();
            assert!((full / 2..=full).contains(&pause), "{pause} ms where {full} is the longest");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= first);
        for (pauses, full) in [(0, 100), (1, 200), (3, 800), (4, 1000), (u32::MAX, 1000)] {
            let pause = Backoff::seeded(first, longest, 7).after(pauses).next_pause().as_millis();
            assert!((full / 2..=full).contains(&pause), "{pause} ms after {pauses} pauses");
        }
    }

    #[test]
    fn pauses_differ_from_one_to_the_next_and_repeat_with_their_seed() {
        let pauses = |seed| {
            let mut backoff = Backoff::seeded(Duration::from_secs(1), Duration::from_secs(1), seed);
            std::array::from_fn::<_, 50, _>(|_| backoff.next_pause())
        };
        let distinct: std::collections::HashSet<_> = pauses(1).into_iter().collect();
        assert!(distinct.len() > 45, "{} of 50 pauses are distinct", distinct.len());
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_tried_again_and_a_lasting_one_is_not() {
        let count = Cell::new(0);
        let attempt = || async {
            count.set(count.get() + 1);
            if count.get() < 3 { Err("away") } else { Ok(count.get()) }
        };
        let limit = Duration::from_secs(1);
        assert_eq!(persist(limit, attempt, |_| true).await, Ok(3));
        count.set(0);
        assert_eq!(persist(limit, attempt, |_| false).await, Err(Some("away")));
        assert_eq!(count.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_bounded_whether_attempts_fail_or_hang() {
        let begin = Instant::now();
        let limit = Duration::from_secs(2);
        let count = Cell::new(0);
        let failing = || async {
            count.set(count.get() + 1);
            Err::<(), _>("away")
        };
        assert_eq!(persist(limit, failing, |_| true).await, Err(Some("away")));
        assert!(begin.elapsed() <= limit);
        assert!((4..=8).contains(&count.get()), "{} attempts", count.get());

        let begin = Instant::now();
        let hung = persist(limit, std::future::pending::<Result<(), &str>>, |_| true).await;
        assert_eq!((hung, begin.elapsed() <= limit + FIRST_PAUSE), (Err(None), true));
    }
}
