//! Whether a queue that rejected a part is full.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::faults::RabbitMqFault;
use super::link::Link;
use super::topology::Topology;

/// How long a result is cached: many parts are rejected together.
const COUNTS_FOR: Duration = Duration::from_millis(100);

/// Timeout of a check. A queue without a leader may take long to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Largest message that RabbitMQ 4.x accepts by default. Queues report their number of messages, not their bytes.
const LARGEST_MESSAGE: u64 = 16 << 20;

/// Checks the length of the queue of parts, once for many callers.
pub(super) struct Fullness {
    topology: Arc<Topology>,
    last: Mutex<Option<(Instant, Result<bool, RabbitMqFault>)>>,
}

impl Fullness {
    pub(super) fn new(topology: Arc<Topology>) -> Self {
        Self { topology, last: Mutex::new(None) }
    }

    /// Returns whether this is the queue of parts.
    pub(super) fn is_about(&self, queue: &str) -> bool {
        queue == self.topology.parts
    }

    /// Returns whether a queue that rejected a message is full, or was a moment ago. The queue of parts has a limit on
    /// parts. The queue of dead letters has a limit on bytes, whose use RabbitMQ does not report: with anything in it,
    /// it counts as full.
    pub(super) async fn is_full(&self, queue: &str, link: &Link) -> Result<bool, RabbitMqFault> {
        if queue == self.topology.letters {
            return Ok(waiting(link, queue).await? > 0);
        }
        if !self.is_about(queue) {
            return Ok(false);
        }
        // Held during the check: one check serves all callers.
        let mut last = self.last.lock().await;
        if let Some((looked, full)) = &*last
            && looked.elapsed() < COUNTS_FOR
        {
            return full.clone();
        }
        let (bound, byte_bound) = (self.topology.bound(), self.topology.byte_bound());
        let full = waiting(link, queue).await.map(|waiting| {
            is_near(waiting, bound) || is_near(waiting.saturating_mul(LARGEST_MESSAGE), byte_bound)
        });
        *last = Some((Instant::now(), full.clone()));
        full
    }
}

/// Returns the number of messages in a queue, within [`LIMIT`].
async fn waiting(link: &Link, queue: &str) -> Result<u64, RabbitMqFault> {
    let look = async {
        let channel = link.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(u64::from(queue.message_count()))
    };
    timeout(LIMIT, look).await.unwrap_or_else(|_| Err(RabbitMqFault::silent()))
}

/// Returns whether so many parts are at least three quarters of the limit. Workers take some between the rejection and
/// the check; a queue without a leader counts as empty.
fn is_near(waiting: u64, bound: u64) -> bool {
    waiting.saturating_mul(4) >= bound.saturating_mul(3) && waiting > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_near_its_bound_is_full() {
        for (waiting, bound, full) in [
            (0, 1, false),
            (1, 1, true),
            (0, 1_000, false),
            (749, 1_000, false),
            (750, 1_000, true),
            (1_000, 1_000, true),
            (1_000_000, u64::MAX, false),
        ] {
            assert_eq!(is_near(waiting, bound), full, "{waiting} of {bound}");
        }
    }
}
