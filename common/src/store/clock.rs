//! Estimates the store's clock between two answers of the store.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::messages::Timestamp;

/// A sample's error grows by this fraction of its age: no clock in use drifts faster.
const DRIFT: u32 = 5_000;

/// Rounding to milliseconds may add this error at either end.
const ROUNDING: Duration = Duration::from_millis(2);

/// Tells the store's time from its last answers and this host's monotonic clock.
///
/// Once the store has answered, steps of the host's wall clock have no effect. Before that the host's clock is used.
#[derive(Debug, Default)]
pub struct StoreClock {
    sample: Mutex<Option<Sample>>,
}

/// A sample: at `at` the store's clock was `moment`, plus or minus `error`.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    moment: Timestamp,
    error: Duration,
}

impl Sample {
    fn moment(&self, now: Instant) -> Timestamp {
        self.moment.after(now.saturating_duration_since(self.at))
    }

    fn error(&self, now: Instant) -> Duration {
        self.error + now.saturating_duration_since(self.at) / DRIFT
    }
}

impl StoreClock {
    /// Adds a sample: the store's clock was `moment` between `sent` and `received`. The more exact of the old and the
    /// new sample is kept. If they contradict each other, the store's clock was set, and the new one is kept.
    pub fn learn(&self, sent: Instant, received: Instant, moment: Timestamp) {
        let round_trip = received.saturating_duration_since(sent);
        let new = Sample { at: sent + round_trip / 2, moment, error: round_trip / 2 };
        let mut sample = self.sample();
        let is_kept = sample.is_some_and(|old| {
            let apart = old.moment(new.at).apart(new.moment);
            apart <= old.error(new.at) + new.error + ROUNDING && old.error(new.at) < new.error
        });
        if !is_kept {
            *sample = Some(new);
        }
    }

    /// Returns the time of the store's clock; before the first answer `host`, the time of this host's clock.
    pub fn now(&self, host: Timestamp) -> Timestamp {
        self.sample().map_or(host, |sample| sample.moment(Instant::now()))
    }

    /// Returns how far `host`, the time of this host's clock, is ahead of the store's clock, in milliseconds; `None`
    /// before the first answer.
    pub fn offset(&self, host: Timestamp) -> Option<i64> {
        let moment = self.sample().map(|sample| sample.moment(Instant::now()))?;
        let span = i64::try_from(host.apart(moment).as_millis()).unwrap_or(i64::MAX);
        Some(if host < moment { -span } else { span })
    }

    fn sample(&self) -> MutexGuard<'_, Option<Sample>> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timestamp {
    /// Returns the time between two moments, in either order.
    fn apart(self, other: Self) -> Duration {
        self.since(other).max(other.since(self))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTES: Duration = Duration::from_secs(300);
    const HOST: Timestamp = Timestamp(1_700_000_000_000);

    fn later(moment: Timestamp, milliseconds: u64) -> Timestamp {
        moment.after(Duration::from_millis(milliseconds))
    }

    async fn answer(clock: &StoreClock, round_trip: u64, moment: Timestamp) {
        let sent = Instant::now();
        advance(Duration::from_millis(round_trip)).await;
        clock.learn(sent, Instant::now(), moment);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_clock_is_off_by_minutes_tells_the_stores_time() {
        for store in [HOST.after(MINUTES), Timestamp(HOST.0 - 300_000)] {
            let clock = StoreClock::default();
            assert_eq!((clock.now(HOST), clock.offset(HOST)), (HOST, None), "nothing is known yet");
            answer(&clock, 4, store).await;
            assert_eq!(clock.now(HOST), later(store, 2));
            let off = i64::try_from(HOST.0).unwrap() - i64::try_from(later(store, 2).0).unwrap();
            assert_eq!(clock.offset(HOST), Some(off));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_hosts_clock_changes_nothing() {
        let clock = StoreClock::default();
        answer(&clock, 0, HOST).await;
        advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(HOST.after(MINUTES)), later(HOST, 1_000));
        assert_eq!(clock.offset(HOST.after(MINUTES)), Some(299_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_is_kept_until_a_better_or_a_contradicting_one() {
        let clock = StoreClock::default();
        answer(&clock, 10, HOST).await;
        // Five milliseconds have passed since the middle of the first sample; this one is inexact and agrees.
        answer(&clock, 1_000, later(HOST, 300)).await;
        assert_eq!(clock.now(HOST), later(HOST, 1_005));
        answer(&clock, 2, later(HOST, 1_008)).await;
        assert_eq!(clock.now(HOST), later(HOST, 1_009));
        // The store's clock was set: even an inexact sample could not differ so much.
        answer(&clock, 1_000, later(HOST, 60_000)).await;
        assert_eq!(clock.now(HOST), later(HOST, 60_500));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_gives_way_to_a_new_one_of_its_kind() {
        let clock = StoreClock::default();
        answer(&clock, 10, HOST).await;
        advance(Duration::from_secs(600)).await;
        answer(&clock, 12, later(HOST, 600_080)).await;
        assert_eq!(clock.now(HOST), later(HOST, 600_086));
    }
}
