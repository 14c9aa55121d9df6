//! How long a full queue takes to empty, as far as can be measured.

use std::time::Duration;

use common::broker::Broker;
use common::store::Store;
use tokio::time::timeout;

/// Shortest and longest time that a client is told to stay away.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Longest time to measure: a refusal does not wait for servers that are away.
const QUICKLY: Duration = Duration::from_millis(200);

/// When the parts that wait now will be done, at the rate at which the workers worked lately.
pub(crate) async fn until_there_is_room(broker: &dyn Broker, store: &dyn Store) -> Duration {
    let (depth, workers) = tokio::join!(timeout(QUICKLY, broker.depth()), timeout(QUICKLY, store.workers()));
    match (depth, workers) {
        (Ok(Ok(depth)), Ok(Ok(workers))) => {
            estimate(depth.waiting, workers.iter().map(|worker| worker.parts_per_second).sum())
        }
        _ => Duration::from_secs(5),
    }
}

fn estimate(waiting: u64, parts_per_second: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = waiting as f64 / parts_per_second;
    // Without a rate the quotient is infinite, or not a number: nobody knows, so the longest time.
    Duration::try_from_secs_f64(seconds).unwrap_or(BOUNDS.1).clamp(BOUNDS.0, BOUNDS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_measured_rate_within_bounds() {
        for (waiting, rate, seconds) in
            [(100, 10.0, 10), (1, 50.0, 1), (5000, 10.0, 60), (7, 0.0, 60), (0, 0.0, 60)]
        {
            assert_eq!(estimate(waiting, rate), Duration::from_secs(seconds), "{waiting} at {rate}");
        }
    }
}
