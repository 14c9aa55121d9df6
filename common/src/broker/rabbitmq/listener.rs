//! Receives hints.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use super::faults::{FaultKind, RabbitMqFault};
use super::link::Link;
use super::topology::Topology;
use super::wire;
use crate::broker::{BrokerError, Hint, Listener};

/// A process's subscription to hints.
pub(super) struct RabbitMqListener {
    _channel: Channel,
    /// `None` after its end: lapin's stream must not be polled again, it would never answer.
    stream: Option<lapin::Consumer>,
}

/// Subscribes with a queue of its own, which is deleted with the subscription.
pub(super) async fn start_listener(
    link: &Link,
    topology: &Topology,
) -> Result<RabbitMqListener, RabbitMqFault> {
    let channel = link.connection.create_channel().await?;
    let declare =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), declare, Topology::hint_queue()).await?;
    let (name, control) = (queue.name().clone(), topology.control.as_str().into());
    let bind = QueueBindOptions::default();
    channel.queue_bind(name.clone(), control, "".into(), bind, FieldTable::default()).await?;
    // A hint needs no acknowledgement: it is of no use to others.
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let stream = channel.basic_consume(name, "".into(), options, FieldTable::default()).await?;
    Ok(RabbitMqListener { _channel: channel, stream: Some(stream) })
}

impl RabbitMqListener {
    /// Waits without limit: a fleet may be silent for days, and heartbeats end the wait if the server is gone.
    async fn receive(&mut self) -> Result<Hint, RabbitMqFault> {
        loop {
            let Some(stream) = &mut self.stream else { return Err(ended()) };
            let received = stream.next().await;
            if !matches!(received, Some(Ok(_))) {
                self.stream = None;
            }
            let Some(received) = received else { return Err(ended()) };
            if let Some(hint) = wire::decode_hint(&received?.data) {
                return Ok(hint);
            }
        }
    }
}

#[async_trait]
impl Listener for RabbitMqListener {
    async fn next(&mut self) -> Result<Hint, BrokerError> {
        Ok(self.receive().await?)
    }
}

fn ended() -> RabbitMqFault {
    RabbitMqFault::new(FaultKind::Ended, "RabbitMQ ended the subscription to hints")
}
