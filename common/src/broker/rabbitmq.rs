//! The broker of a fleet: RabbitMQ, 3.10 or newer.
//!
//! `topology` declares the queues and says why each option is as it is, `connection` keeps connections
//! and replaces broken ones, `publisher` sends with confirms, `consumer` takes parts and hints, and
//! `dead_letters` looks at what was put aside.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::Mutex;

use crate::broker::{
    Broker, BrokerError, BrokerLimits, Consumer, DeadLetter, Exhumed, Hint, Listener, QueueDepth,
};
use crate::messages::{Part, PartId};
use crate::patience::persist;

use connection::{Line, Link};
use consumer::{RabbitMqConsumer, RabbitMqListener};
use publisher::{Message, Publisher};
use topology::Topology;

mod connection;
mod consumer;
mod dead_letters;
mod publisher;
mod topology;
mod wire;

/// Which RabbitMQ, and how to use it.
#[derive(Clone)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:port/vhost`; a heartbeat may be set as `?heartbeat=seconds`.
    pub url: String,
    /// Start of the name of every queue and exchange.
    pub prefix: String,
    /// Bounds.
    pub limits: BrokerLimits,
}

/// A queue on RabbitMQ.
pub struct RabbitMqBroker {
    topology: Arc<Topology>,
    call_timeout: Duration,
    publisher: Arc<Publisher>,
    /// A connection of its own: RabbitMQ stops reading from connections that publish while it is short
    /// of memory or disk, and acknowledgements must still get through then.
    consuming: Line,
    /// Held while dead letters are looked at, which hides them from others.
    looking: Mutex<()>,
}

impl RabbitMqBroker {
    /// Connects and declares the queues.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] when RabbitMQ did not let it in within the call timeout, or has
    /// queues of these names with other settings.
    pub async fn connect(config: RabbitMqConfig) -> Result<Arc<Self>, BrokerError> {
        let RabbitMqConfig { url, prefix, limits } = config;
        let topology = Arc::new(Topology::new(&prefix, limits.max_parts));
        let publishing = Line::new(&url, "publishing", Arc::clone(&topology))?;
        let broker = Arc::new(Self {
            publisher: Arc::new(Publisher::new(publishing, limits.call_timeout)),
            consuming: Line::new(&url, "consuming", Arc::clone(&topology))?,
            call_timeout: limits.call_timeout,
            looking: Mutex::new(()),
            topology,
        });
        broker.ping().await?;
        Ok(broker)
    }

    /// Does something on the consuming connection, again and again while that is broken.
    async fn on_link<'a, T, F>(&'a self, act: impl Fn(Arc<Link>) -> F + Sync) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, BrokerError>> + Send + 'a,
        T: 'a,
    {
        let act = &act;
        let attempt = || self.consuming.with_link(act);
        persist(self.call_timeout, attempt, is_transient)
            .await
            .map_err(|error| error.unwrap_or_else(no_answer))
    }

    async fn counts(&self, link: &Link) -> Result<QueueDepth, BrokerError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = |name: &str| link.channel.queue_declare(name.into(), passive, FieldTable::default());
        let parts = declare(&self.topology.parts).await.map_err(unavailable)?;
        let dead = declare(&self.topology.dead).await.map_err(unavailable)?;
        Ok(QueueDepth {
            waiting: u64::from(parts.message_count()),
            consumers: u64::from(parts.consumer_count()),
            dead_letters: u64::from(dead.message_count()),
        })
    }

    async fn start_listener(&self, link: &Link) -> Result<RabbitMqListener, BrokerError> {
        let channel = link.connection.create_channel().await.map_err(unavailable)?;
        // One queue a listener, gone with it.
        let declare =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue =
            channel.queue_declare("".into(), declare, Topology::hint_queue()).await.map_err(unavailable)?;
        let control = self.topology.control.as_str().into();
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(queue.name().clone(), control, "".into(), bind, FieldTable::default())
            .await
            .map_err(unavailable)?;
        // A hint is worth nothing to anybody else: it needs no acknowledgement.
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let stream = channel
            .basic_consume(queue.name().clone(), "".into(), options, FieldTable::default())
            .await
            .map_err(unavailable)?;
        Ok(RabbitMqListener::new(channel, stream))
    }
}

async fn start_consumer(
    link: Arc<Link>,
    prefetch: u16,
    publisher: Arc<Publisher>,
    topology: Arc<Topology>,
) -> Result<RabbitMqConsumer, BrokerError> {
    let channel = link.connection.create_channel().await.map_err(unavailable)?;
    channel.basic_qos(prefetch.max(1), BasicQosOptions::default()).await.map_err(unavailable)?;
    let stream = channel
        .basic_consume(
            topology.parts.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .map_err(unavailable)?;
    Ok(RabbitMqConsumer::new(channel, stream, publisher, topology))
}

#[async_trait]
impl Broker for RabbitMqBroker {
    async fn ping(&self) -> Result<(), BrokerError> {
        self.depth().await.map(|_| ())
    }

    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        let payload = wire::encode(&part)?;
        let id = part.id.to_string();
        drop(part);
        self.publisher.publish(&Message::part(&self.topology.parts, &payload, &id)).await
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let consumer = self
            .on_link(|link| {
                let (publisher, topology) = (Arc::clone(&self.publisher), Arc::clone(&self.topology));
                // A task of its own: a subscription whose caller gave up while it was made would hold parts that
                // nobody takes. So it is made, and ends because nobody wants it.
                let starting = tokio::spawn(start_consumer(link, prefetch, publisher, topology));
                async move { starting.await.unwrap_or_else(|_| Err(no_answer())) }
            })
            .await?;
        Ok(Box::new(consumer))
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.on_link(|link| async move { self.counts(&link).await }).await
    }

    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        let payload = wire::encode_hint(&hint)?;
        self.publisher.publish(&Message::hint(&self.topology.control, &payload)).await
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        let listener = self.on_link(|link| async move { self.start_listener(&link).await }).await?;
        Ok(Box::new(listener))
    }

    async fn bury(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        let payload = wire::encode(&part)?;
        let id = part.id.to_string();
        self.publisher.publish(&Message::dead(&self.topology.dead, &payload, &id, reason)).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let _alone = self.looking.lock().await;
        self.on_link(|link| async move { dead_letters::list(&link, &self.topology.dead, limit).await }).await
    }

    async fn exhume(&self, which: Option<PartId>) -> Result<Vec<Exhumed>, BrokerError> {
        let _alone = self.looking.lock().await;
        self.on_link(|link| async move { dead_letters::exhume(&link, &self.topology.dead, which).await })
            .await
    }
}

/// Reads a message as workers do: its bytes may be a part's or a hint's. For fuzzing.
///
/// # Errors
/// Why it is not a part.
#[cfg(feature = "testing")]
pub fn read_message(bytes: &[u8]) -> Result<Part, String> {
    let _ = wire::decode_hint(bytes);
    wire::decode(bytes)
}

fn is_transient(error: &BrokerError) -> bool {
    match error {
        BrokerError::Unavailable(_) => true,
        BrokerError::Full | BrokerError::Malformed(_) => false,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn unavailable(error: lapin::Error) -> BrokerError {
    BrokerError::Unavailable(error.to_string())
}

fn no_answer() -> BrokerError {
    BrokerError::Unavailable("it did not answer in time".to_owned())
}
