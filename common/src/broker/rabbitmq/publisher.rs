//! Publishes messages and waits until RabbitMQ has stored them safely.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lapin::message::Delivery as Received;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use tokio::time::{Instant, timeout};

use super::consumer::DELIVERY_COUNT;
use super::faults::{FaultKind, RabbitMqFault};
use super::fullness::Fullness;
use super::line::Line;
use super::link::{Link, ROOM};
use super::topology::Topology;
use super::under_way::UnderWay;
use crate::broker::BrokerError;
use crate::ids::ClientName;

/// Header with the reason of a dead letter.
pub(super) const REASON: &str = "reason";

/// AMQP's delivery mode for persistent messages.
const PERSISTENT: u8 = 2;

/// How long a queue that rejected a message counts as broken without a new try.
const TROUBLE_LASTS: Duration = Duration::from_secs(5);

/// One message and its destination.
#[derive(Clone)]
pub(super) struct Message {
    exchange: String,
    routing_key: String,
    /// Whether it is an error if no queue takes it.
    must_arrive: bool,
    payload: Bytes,
    properties: BasicProperties,
}

impl Message {
    /// Creates a part for the workers.
    pub(super) fn part(queue: &str, payload: Vec<u8>, id: &str) -> Self {
        let properties = BasicProperties::default()
            .with_content_type("application/msgpack".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(id.into());
        Self {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            must_arrive: true,
            payload: payload.into(),
            properties,
        }
    }

    /// Creates a dead letter.
    pub(super) fn dead(queue: &str, payload: Vec<u8>, id: &str, reason: &str) -> Self {
        let mut message = Self::part(queue, payload, id);
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        message.properties = message.properties.with_headers(headers);
        message
    }

    /// Copies a message unchanged.
    pub(super) fn again(queue: &str, received: &Received) -> Self {
        let mut message = Self::part(queue, received.data.clone(), "");
        message.properties = received.properties.clone();
        if let Some(headers) = received.properties.headers() {
            // RabbitMQ starts this header anew.
            let kept = headers.inner().iter().filter(|(name, _)| name.as_str() != DELIVERY_COUNT);
            let kept: BTreeMap<_, _> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
            message.properties = message.properties.with_headers(kept.into());
        }
        message
    }

    /// Creates a hint for the listeners.
    pub(super) fn hint(exchange: &str, payload: Vec<u8>) -> Self {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        Self {
            exchange: exchange.to_owned(),
            routing_key: String::new(),
            must_arrive: false,
            payload: payload.into(),
            properties,
        }
    }

    /// Creates a probe: a few bytes that are stored as parts are.
    pub(super) fn probe(queue: &str) -> Self {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        Self {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            must_arrive: true,
            payload: Bytes::from_static(b"probe"),
            properties,
        }
    }
}

/// The publishing connection. Any number of messages may be unconfirmed.
pub(super) struct Publisher {
    line: Line,
    limit: Duration,
    fullness: Arc<Fullness>,
    under_way: UnderWay,
    /// When the queue of parts last rejected a part without being full, and the message; cleared when it accepts one.
    not_taken: Mutex<Option<(Instant, RabbitMqFault)>>,
}

impl Publisher {
    pub(super) fn new(line: Line, limit: Duration, topology: Arc<Topology>) -> Self {
        Self {
            line,
            limit,
            fullness: Arc::new(Fullness::new(topology)),
            under_way: UnderWay::default(),
            not_taken: Mutex::default(),
        }
    }

    /// Publishes a client's message once its earlier ones leave room, for which it waits at most half of the time.
    pub(super) async fn publish_of(
        &self,
        client: Option<&ClientName>,
        message: Message,
    ) -> Result<(), BrokerError> {
        let begun = Instant::now();
        let entering = self.under_way.enter(client, message.payload.len());
        let Ok(_counted) = timeout(self.limit / 2, entering).await else {
            let said = "earlier parts of this client are still unconfirmed";
            return Err(BrokerError::Unavailable(said.to_owned()));
        };
        self.publish_within(self.limit.saturating_sub(begun.elapsed()), message).await
    }

    /// Publishes a message until it is confirmed or the time is over.
    pub(super) async fn publish(&self, message: Message) -> Result<(), BrokerError> {
        self.publish_within(self.limit, message).await
    }

    /// If the connection breaks before the confirm, the message is published again: better twice than never.
    async fn publish_within(&self, limit: Duration, message: Message) -> Result<(), BrokerError> {
        let message = &message;
        let outcome = self.line.call(limit, |link| async move { self.attempt(&link, message).await }).await;
        if matches!(outcome, Err(BrokerError::Unavailable(_))) && self.fullness.is_about(&message.routing_key)
        {
            self.suspect(&message.routing_key);
        }
        outcome
    }

    /// A part was not confirmed in time. If the connection works, the queue is the cause: its only member may be down,
    /// which no other queue shows. A channel may also wait forever for a leader that does not exist any more: the next
    /// part uses another one.
    fn suspect(&self, queue: &str) {
        let Some(link) = self.line.current().filter(|link| link.made.elapsed() >= self.limit) else { return };
        let fault =
            RabbitMqFault::new(FaultKind::NotTaken, format!("the queue `{queue}` confirmed no part in time"));
        self.remember(Some(&fault));
        self.line.give_up(&link, &fault);
    }

    /// Returns the server's message if the queue of parts rejected one recently without being full.
    pub(super) fn trouble(&self) -> Option<RabbitMqFault> {
        let not_taken = self.not_taken.lock().unwrap_or_else(PoisonError::into_inner);
        not_taken.as_ref().filter(|(when, _)| when.elapsed() < TROUBLE_LASTS).map(|(_, fault)| fault.clone())
    }

    fn remember(&self, fault: Option<&RabbitMqFault>) {
        let mut not_taken = self.not_taken.lock().unwrap_or_else(PoisonError::into_inner);
        *not_taken = fault.map(|fault| (Instant::now(), fault.clone()));
    }

    async fn attempt(&self, link: &Arc<Link>, message: &Message) -> Result<(), RabbitMqFault> {
        match send(link, message).await? {
            Taken::Yes => {
                if self.fullness.is_about(&message.routing_key) {
                    self.remember(None);
                }
                Ok(())
            }
            // A queue rejects messages when it is full, and also while it has no leader or this channel uses the
            // previous one: its length tells which.
            Taken::No if self.fullness.is_full(&message.routing_key, link).await? => {
                Err(RabbitMqFault::new(FaultKind::Full, "the queue is full"))
            }
            Taken::No => {
                let said = format!("the queue `{}` takes nothing although it has room", message.routing_key);
                let fault = RabbitMqFault::new(FaultKind::NotTaken, said);
                self.remember(Some(&fault));
                Err(fault)
            }
        }
    }
}

/// The server's answer to a message.
pub(super) enum Taken {
    /// It is stored safely.
    Yes,
    /// The queue rejected it.
    No,
}

/// Publishes a message and waits for the answer. Fails at once if an alarm is raised before or meanwhile: then no
/// answer comes until it is over. Otherwise the caller bounds the wait.
pub(super) async fn send(link: &Arc<Link>, message: &Message) -> Result<Taken, RabbitMqFault> {
    if let Some(alarm) = link.alarm() {
        return Err(alarm);
    }
    tokio::select! {
        biased;
        outcome = deliver(link, message) => outcome,
        alarm = link.until_alarm() => Err(alarm),
    }
}

async fn deliver(link: &Arc<Link>, message: &Message) -> Result<Taken, RabbitMqFault> {
    let confirm = hand_over(Arc::clone(link), message.clone()).await?;
    match confirm.await? {
        Confirmation::Ack(None) => Ok(Taken::Yes),
        Confirmation::Ack(Some(_)) => Err(RabbitMqFault::new(
            FaultKind::Missing,
            format!("there is no queue `{}`", message.routing_key),
        )),
        Confirmation::Nack(_) => Ok(Taken::No),
        Confirmation::NotRequested => {
            Err(RabbitMqFault::new(FaultKind::Ended, "the channel does not confirm"))
        }
    }
}

/// Hands a message to lapin when there is room for its bytes until they are written.
///
/// A task of its own: lapin keeps the message in memory also if the caller has left, so it must count until it is
/// written or the connection ends.
async fn hand_over(link: Arc<Link>, message: Message) -> Result<PublisherConfirm, RabbitMqFault> {
    let bytes = u32::try_from(message.payload.len().clamp(1, ROOM)).unwrap_or(u32::MAX);
    let room = Arc::clone(&link.room).acquire_many_owned(bytes).await;
    let Ok(room) = room else { return Err(RabbitMqFault::silent()) };
    let written = tokio::spawn(async move {
        // Without `mandatory`, a message for a deleted queue would be confirmed and lost.
        let options =
            BasicPublishOptions { mandatory: message.must_arrive, ..BasicPublishOptions::default() };
        let (exchange, key) = (message.exchange.into(), message.routing_key.into());
        let confirm =
            link.channel.basic_publish(exchange, key, options, &message.payload, message.properties).await;
        drop(room);
        confirm
    });
    match written.await {
        Ok(confirm) => Ok(confirm?),
        // The runtime ends.
        Err(_) => Err(RabbitMqFault::silent()),
    }
}
