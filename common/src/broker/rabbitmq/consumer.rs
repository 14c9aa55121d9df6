//! Takes parts and hints from their queues.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::message::Delivery as Received;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel};
use tokio::runtime::Handle;

use super::publisher::{Message, Publisher};
use super::topology::Topology;
use super::{unavailable, wire};
use crate::broker::{Acknowledge, BrokerError, Consumer, Delivery, Hint, Listener};

/// Header in which quorum queues count how often a message came back.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// One worker's subscription to the queue of parts, on a channel of its own.
pub(super) struct RabbitMqConsumer {
    channel: Channel,
    /// `None` once stopped.
    stream: Option<lapin::Consumer>,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
}

impl RabbitMqConsumer {
    pub(super) fn new(
        channel: Channel,
        stream: lapin::Consumer,
        publisher: Arc<Publisher>,
        topology: Arc<Topology>,
    ) -> Self {
        Self { channel, stream: Some(stream), publisher, topology }
    }

    /// Puts what no worker of this version can read before an operator, instead of failing on it again
    /// and again.
    async fn put_aside(
        &self,
        received: &Received,
        hand: Box<InHand>,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let id = message_id(received);
        tracing::error!(message = id, reason, "a message was put among the dead letters");
        self.publisher.publish(&Message::dead(&self.topology.dead, &received.data, &id, reason)).await?;
        hand.ack().await
    }
}

#[async_trait]
impl Consumer for RabbitMqConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let Some(received) = stream.next().await else {
                return Err(BrokerError::Unavailable("it ended the subscription".to_owned()));
            };
            let received = received.map_err(unavailable)?;
            let hand = InHand::new(&received, &self.channel);
            match wire::decode(&received.data) {
                Ok(part) => {
                    return Ok(Some(Delivery { part, attempt: attempt(&received), acknowledge: hand }));
                }
                Err(reason) => self.put_aside(&received, hand, &reason).await?,
            }
        }
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        match self.stream.take() {
            Some(stream) => leave(&self.channel, stream).await,
            None => Ok(()),
        }
    }
}

impl Drop for RabbitMqConsumer {
    fn drop(&mut self) {
        if let (Some(stream), Ok(runtime)) = (self.stream.take(), Handle::try_current()) {
            let channel = self.channel.clone();
            runtime.spawn(async move {
                // A failure means that the channel has ended, and all went back with it.
                let _ = leave(&channel, stream).await;
            });
        }
    }
}

/// Ends a subscription and gives back what had arrived but was not handed out.
async fn leave(channel: &Channel, mut stream: lapin::Consumer) -> Result<(), BrokerError> {
    channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await.map_err(unavailable)?;
    while let Some(Ok(received)) = stream.next().await {
        InHand::new(&received, channel).requeue().await?;
    }
    Ok(())
}

fn attempt(received: &Received) -> u32 {
    let count = header(received).and_then(|headers| headers.inner().get(DELIVERY_COUNT));
    let Some(AMQPValue::LongLongInt(count)) = count else { return 1 };
    u32::try_from(*count).unwrap_or(u32::MAX).saturating_add(1)
}

pub(super) fn header(received: &Received) -> Option<&FieldTable> {
    received.properties.headers().as_ref()
}

pub(super) fn message_id(received: &Received) -> String {
    received.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

/// A message in somebody's hands: dropped, it goes back.
pub(super) struct InHand {
    acker: Option<Acker>,
    /// The channel ends with its last handle, and every message on it goes back.
    channel: Channel,
}

impl InHand {
    pub(super) fn new(received: &Received, channel: &Channel) -> Box<Self> {
        Box::new(Self { acker: Some(received.acker.clone()), channel: channel.clone() })
    }
}

#[async_trait]
impl Acknowledge for InHand {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.acker.take() {
            Some(acker) => settled(acker.ack(BasicAckOptions::default()).await),
            None => Ok(()),
        }
    }

    async fn requeue(mut self: Box<Self>) -> Result<(), BrokerError> {
        match self.acker.take() {
            Some(acker) => settled(acker.nack(give_back()).await),
            None => Ok(()),
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let Some(acker) = self.acker.take().filter(Acker::usable) else { return };
        if let Ok(runtime) = Handle::try_current() {
            let channel = self.channel.clone();
            runtime.spawn(async move {
                // A failure means that the channel has ended, and the message went back with it.
                let _ = acker.nack(give_back()).await;
                drop(channel);
            });
        }
    }
}

fn give_back() -> BasicNackOptions {
    BasicNackOptions { requeue: true, ..BasicNackOptions::default() }
}

fn settled(outcome: lapin::Result<bool>) -> Result<(), BrokerError> {
    if outcome.map_err(unavailable)? {
        Ok(())
    } else {
        Err(BrokerError::Unavailable("the connection ended before the acknowledgement".to_owned()))
    }
}

/// One process's subscription to hints.
pub(super) struct RabbitMqListener {
    _channel: Channel,
    stream: lapin::Consumer,
}

impl RabbitMqListener {
    pub(super) fn new(channel: Channel, stream: lapin::Consumer) -> Self {
        Self { _channel: channel, stream }
    }
}

#[async_trait]
impl Listener for RabbitMqListener {
    async fn next(&mut self) -> Result<Hint, BrokerError> {
        loop {
            let Some(received) = self.stream.next().await else {
                return Err(BrokerError::Unavailable("it ended the subscription".to_owned()));
            };
            if let Some(hint) = wire::decode_hint(&received.map_err(unavailable)?.data) {
                return Ok(hint);
            }
        }
    }
}
