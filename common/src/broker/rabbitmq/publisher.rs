//! Sends messages and waits until RabbitMQ has them safe.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};

use super::connection::{Line, Link};
use super::{is_transient, no_answer, unavailable};
use crate::broker::BrokerError;
use crate::patience::persist;

/// Header that says why a part was put aside.
pub(super) const REASON: &str = "reason";

/// AMQP's delivery mode for messages that go to disk.
const PERSISTENT: u8 = 2;

/// One message and where it goes.
pub(super) struct Message<'a> {
    exchange: &'a str,
    routing_key: &'a str,
    /// Whether it is a fault when no queue takes it.
    must_arrive: bool,
    payload: &'a [u8],
    properties: BasicProperties,
}

impl<'a> Message<'a> {
    /// A part for the workers.
    pub(super) fn part(queue: &'a str, payload: &'a [u8], id: &str) -> Self {
        let properties = BasicProperties::default()
            .with_content_type("application/msgpack".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into());
        Self { exchange: "", routing_key: queue, must_arrive: true, payload, properties }
    }

    /// A part for the operator.
    pub(super) fn dead(queue: &'a str, payload: &'a [u8], id: &str, reason: &str) -> Self {
        let mut message = Self::part(queue, payload, id);
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        message.properties = message.properties.with_headers(headers);
        message
    }

    /// A hint for whoever listens.
    pub(super) fn hint(exchange: &'a str, payload: &'a [u8]) -> Self {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        Self { exchange, routing_key: "", must_arrive: false, payload, properties }
    }
}

/// The publishing connection. Any number of messages may be under way on it.
pub(super) struct Publisher {
    line: Line,
    limit: Duration,
}

impl Publisher {
    pub(super) fn new(line: Line, limit: Duration) -> Self {
        Self { line, limit }
    }

    /// Sends a message until it is confirmed or the time is up. Where a connection broke before the
    /// confirm, the same message is sent again: better twice than not at all.
    pub(super) async fn publish(&self, message: &Message<'_>) -> Result<(), BrokerError> {
        let attempt = || self.line.with_link(async |link| send(&link, message).await);
        persist(self.limit, attempt, is_transient).await.map_err(|error| error.unwrap_or_else(no_answer))
    }
}

async fn send(link: &Link, message: &Message<'_>) -> Result<(), BrokerError> {
    if link.connection.status().blocked() {
        // Whatever is sent now only fills this process's memory.
        return Err(BrokerError::Unavailable("it accepts nothing, being short of memory or disk".to_owned()));
    }
    // A queue that was deleted would swallow what is not mandatory, and confirm it.
    let options = BasicPublishOptions { mandatory: message.must_arrive, ..BasicPublishOptions::default() };
    let confirm = link
        .channel
        .basic_publish(
            message.exchange.into(),
            message.routing_key.into(),
            options,
            message.payload,
            message.properties.clone(),
        )
        .await
        .map_err(unavailable)?;
    match confirm.await.map_err(unavailable)? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => {
            Err(BrokerError::Unavailable(format!("there is no queue `{}`", message.routing_key)))
        }
        Confirmation::Nack(_) => Err(BrokerError::Full),
        Confirmation::NotRequested => {
            Err(BrokerError::Unavailable("the channel does not confirm".to_owned()))
        }
    }
}
