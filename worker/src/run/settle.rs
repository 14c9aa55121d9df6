//! Ends deliveries. A broker that does not hear of it gives the part out again by itself.

use std::time::Duration;

use common::broker::{Acknowledge, BrokerError};
use tokio::time::timeout;

/// Longest time for one. It is a message without an answer: what takes longer has lost its connection.
const LIMIT: Duration = Duration::from_secs(5);

/// The part is done.
pub(super) async fn acknowledge(hand: Box<dyn Acknowledge>) {
    if let Err(error) = within_limit(hand.ack()).await {
        // The result is stored; a second delivery of the part finds it and changes nothing.
        tracing::debug!(%error, "a part could not be acknowledged");
    }
}

/// Somebody else should do it.
pub(super) async fn requeue(hand: Box<dyn Acknowledge>) {
    if let Err(error) = within_limit(hand.requeue()).await {
        tracing::debug!(%error, "a part could not be given back, the broker gives it out again by itself");
    }
}

async fn within_limit(settled: impl Future<Output = Result<(), BrokerError>>) -> Result<(), BrokerError> {
    let late = |_| Err(BrokerError::Unavailable("it did not take it in time".to_owned()));
    timeout(LIMIT, settled).await.unwrap_or_else(late)
}
