//! Delivered messages, and how they are settled.

use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Received;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::{Acker, Channel};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::faults::RabbitMqFault;
use crate::broker::{Acknowledge, BrokerError};

/// A delivered message. If it is dropped, it goes back to the queue.
pub(super) struct InHand {
    acker: Option<Acker>,
    /// The channel ends with its last handle, and all its messages go back.
    channel: Channel,
    limit: Duration,
}

impl InHand {
    /// Wraps a message; settling it takes at most `limit`.
    pub(super) fn new(received: &Received, channel: &Channel, limit: Duration) -> Box<Self> {
        Box::new(Self { acker: Some(received.acker.clone()), channel: channel.clone(), limit })
    }

    /// Makes RabbitMQ dead-letter the message itself, as the queue is configured.
    pub(super) async fn reject(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.acker.take() {
            Some(acker) => settled(self.limit, acker.reject(BasicRejectOptions::default())).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Acknowledge for InHand {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.acker.take() {
            Some(acker) => settled(self.limit, acker.ack(BasicAckOptions::default())).await,
            None => Ok(()),
        }
    }

    async fn requeue(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.acker.take() {
            Some(acker) => settled(self.limit, acker.nack(give_back())).await,
            None => Ok(()),
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take().filter(Acker::usable) else { return };
        if let Ok(runtime) = Handle::try_current() {
            let (channel, limit) = (self.channel.clone(), self.limit);
            runtime.spawn(async move {
                // A failure means that the channel has ended, and the message went back with it.
                let _ = settled(limit, acker.nack(give_back())).await;
                drop(channel);
            });
        }
    }
}

fn give_back() -> BasicNackOptions {
    BasicNackOptions { requeue: true, ..BasicNackOptions::default() }
}

async fn settled(
    limit: Duration,
    settling: impl Future<Output = lapin::Result<bool>>,
) -> Result<(), BrokerError> {
    let outcome = timeout(limit, settling).await.map_err(|_| RabbitMqFault::silent())?;
    if outcome.map_err(RabbitMqFault::from)? {
        Ok(())
    } else {
        Err(BrokerError::Unavailable("the connection ended before the acknowledgement".to_owned()))
    }
}
