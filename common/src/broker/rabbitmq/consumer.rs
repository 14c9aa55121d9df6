//! Consumes parts from their queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::message::Delivery as Received;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::faults::{FaultKind, RabbitMqFault};
use super::in_hand::InHand;
use super::link::Link;
use super::newer::NewerPart;
use super::publisher::{Message, Publisher};
use super::topology::Topology;
use super::wire::{self, Content};
use crate::broker::newer::{NewerParts, pauses};
use crate::broker::{Acknowledge, BrokerError, Consumer, Delivery};
use crate::patience::Backoff;

/// A subscription without deliveries is replaced after this time: see [`RabbitMqConsumer::renew`].
const QUIET: Duration = Duration::from_secs(5);

/// Header in which quorum queues count redeliveries.
pub(super) const DELIVERY_COUNT: &str = "x-delivery-count";

/// What a consumer needs besides its channel.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) publisher: Arc<Publisher>,
    pub(super) topology: Arc<Topology>,
    pub(super) newer: Arc<NewerParts>,
    /// Timeout of every call.
    pub(super) limit: Duration,
}

/// A worker's subscription to the queue of parts, on a channel of its own.
pub(super) struct RabbitMqConsumer {
    link: Arc<Link>,
    prefetch: u16,
    channel: Channel,
    stream: Stream,
    around: Surroundings,
    /// Pauses for parts of a newer release.
    pauses: Backoff,
    /// Shared with every part that was returned and is not settled.
    held: Arc<()>,
}

/// A returned part, counted by its consumer until it is settled.
struct Counted {
    hand: Box<InHand>,
    _held: Arc<()>,
}

#[async_trait]
impl Acknowledge for Counted {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.hand.ack().await
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        self.hand.requeue().await
    }
}

/// lapin's stream must not be polled after its end: it would never answer.
enum Stream {
    Open(lapin::Consumer),
    /// Stopped by this process.
    Stopped,
    /// Ended by the server, for this reason.
    Ended(RabbitMqFault),
}

/// Subscribes with at most `prefetch` unacknowledged parts.
pub(super) async fn start_consumer(
    link: Arc<Link>,
    prefetch: u16,
    around: Surroundings,
) -> Result<RabbitMqConsumer, RabbitMqFault> {
    let channel = link.connection.create_channel().await?;
    channel.basic_qos(prefetch.max(1), BasicQosOptions::default()).await?;
    let (queue, options) = (around.topology.parts.as_str().into(), BasicConsumeOptions::default());
    let stream = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok(RabbitMqConsumer {
        link,
        prefetch,
        channel,
        stream: Stream::Open(stream),
        around,
        pauses: pauses(),
        held: Arc::default(),
    })
}

impl RabbitMqConsumer {
    /// Returns the next message, and waits without limit: a queue may be empty for days, and heartbeats end the wait if
    /// the server is gone. `None` when stopped.
    async fn receive(&mut self) -> Result<Option<Received>, RabbitMqFault> {
        let fault = loop {
            match &mut self.stream {
                Stream::Stopped => return Ok(None),
                Stream::Ended(fault) => return Err(fault.clone()),
                Stream::Open(stream) => match timeout(QUIET, stream.next()).await {
                    Ok(Some(Ok(received))) => return Ok(Some(received)),
                    Ok(Some(Err(error))) => break error.into(),
                    Ok(None) => {
                        let said = "RabbitMQ ended the subscription to the queue of parts";
                        break RabbitMqFault::new(FaultKind::Ended, said);
                    }
                    Err(_) => {
                        if let Err(fault) = self.renew().await {
                            break fault;
                        }
                    }
                },
            }
        };
        self.stream = Stream::Ended(fault.clone());
        Err(fault)
    }

    /// Replaces an idle subscription without unsettled parts. If a queue is deleted and recreated at once, RabbitMQ may
    /// resume the subscription on the new queue by itself: it counts the consumer there and gives it parts, but none
    /// arrives (seen with 3.10). Only the waiting consumer can detect it.
    async fn renew(&mut self) -> Result<(), RabbitMqFault> {
        if Arc::strong_count(&self.held) > 1 {
            return Ok(());
        }
        let starting = start_consumer(Arc::clone(&self.link), self.prefetch, self.around.clone());
        let mut fresh =
            timeout(self.around.limit, starting).await.unwrap_or_else(|_| Err(RabbitMqFault::silent()))?;
        // The old subscription is dropped, and its parts come back when its channel ends.
        std::mem::swap(&mut self.channel, &mut fresh.channel);
        std::mem::swap(&mut self.stream, &mut fresh.stream);
        Ok(())
    }

    /// Makes an unreadable message a dead letter, instead of failing on it again and again.
    async fn put_aside(
        &self,
        received: &Received,
        hand: Box<InHand>,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let id = message_id(received);
        tracing::error!(message = id, reason, "an unreadable message became a dead letter");
        let message = Message::dead(&self.around.topology.letters, received.data.clone(), &id, reason);
        match self.around.publisher.publish(message).await {
            Ok(()) => hand.ack().await,
            Err(BrokerError::Full) => {
                tracing::error!(message = id, "a message was not kept: the dead letters are full");
                hand.ack().await
            }
            // Publishing is impossible for now, as under an alarm. RabbitMQ dead-letters the message itself, with less
            // detail, so that the parts behind it proceed.
            Err(_) => hand.reject().await,
        }
    }
}

#[async_trait]
impl Consumer for RabbitMqConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        loop {
            let Some(received) = self.receive().await? else { return Ok(None) };
            let hand = InHand::new(&received, &self.channel, self.around.limit);
            match wire::read(&received.data) {
                Content::Part(part) => {
                    self.pauses.reset();
                    return Ok(Some(Delivery {
                        part: *part,
                        attempt: attempt(&received),
                        acknowledge: Box::new(Counted { hand, _held: Arc::clone(&self.held) }),
                    }));
                }
                Content::Newer(header) => {
                    self.around.newer.count(header);
                    let part = NewerPart::new(hand, header, &self.around.topology.parts, &received);
                    part.give_back(Arc::clone(&self.around.publisher), self.pauses.next_pause());
                }
                Content::Foreign(reason) => self.put_aside(&received, hand, &reason).await?,
            }
        }
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        match std::mem::replace(&mut self.stream, Stream::Stopped) {
            Stream::Open(stream) => Ok(leave(&self.channel, stream, self.around.limit).await?),
            // Everything went back with the subscription.
            Stream::Stopped | Stream::Ended(_) => Ok(()),
        }
    }
}

impl Drop for RabbitMqConsumer {
    fn drop(&mut self) {
        let stream = std::mem::replace(&mut self.stream, Stream::Stopped);
        if let (Stream::Open(stream), Ok(runtime)) = (stream, Handle::try_current()) {
            let (channel, limit, held) = (self.channel.clone(), self.around.limit, Arc::clone(&self.held));
            runtime.spawn(async move {
                // A failure means that the channel has ended, and everything went back with it.
                let _ = leave(&channel, stream, limit).await;
                if Arc::strong_count(&held) == 1 {
                    // This also returns what the server has sent and never arrived.
                    let _ = timeout(limit, channel.close(200, "OK".into())).await;
                }
            });
        }
    }
}

/// Ends a subscription and returns the messages that arrived but were not handed out.
async fn leave(channel: &Channel, mut stream: lapin::Consumer, limit: Duration) -> Result<(), RabbitMqFault> {
    let leaving = async {
        channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await?;
        // Ends with the subscription, whichever side ended it.
        while let Some(Ok(received)) = stream.next().await {
            // A failure means that the channel has ended, and everything went back with it.
            let _ = InHand::new(&received, channel, limit).requeue().await;
        }
        Ok(())
    };
    timeout(limit, leaving).await.unwrap_or_else(|_| Err(RabbitMqFault::silent()))
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
