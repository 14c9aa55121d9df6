//! Estimates how long a full queue takes to empty.

use std::time::Duration;

use common::broker::Broker;
use common::store::Store;
use tokio::time::timeout;

/// Shortest and longest `Retry-After`.
const BOUNDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Timeout of the estimate: a refusal does not wait for servers that are out of reach.
const QUICKLY: Duration = Duration::from_millis(200);

/// When the queued parts will be done, at the recent throughput of the workers.
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
    // Without a rate the quotient is infinite or NaN: the longest time applies.
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
