//! Settles deliveries. If the broker does not receive it, it delivers the part again.

use std::time::Duration;

use common::broker::{Acknowledge, BrokerError};
use tokio::time::timeout;

/// Timeout. Settling is a message without an answer: if it takes longer, the connection is lost.
const LIMIT: Duration = Duration::from_secs(5);

/// The part is done.
pub(super) async fn acknowledge(hand: Box<dyn Acknowledge>) {
    if let Err(error) = within_limit(hand.ack()).await {
        // The result is stored; another delivery of the part finds it and changes nothing.
        tracing::debug!(%error, "a part could not be acknowledged");
    }
}

/// Another worker should do it.
pub(super) async fn requeue(hand: Box<dyn Acknowledge>) {
    if let Err(error) = within_limit(hand.requeue()).await {
        tracing::debug!(%error, "a part could not be returned, the broker delivers it again by itself");
    }
}

async fn within_limit(settled: impl Future<Output = Result<(), BrokerError>>) -> Result<(), BrokerError> {
    let late = |_| Err(BrokerError::Unavailable("it did not take it in time".to_owned()));
    timeout(LIMIT, settled).await.unwrap_or_else(late)
}
