//! The broker of a fleet: RabbitMQ, 3.10 or newer.
//!
//! `address` parses the URL. `topology` declares the queues and explains each option. `faults` is the table of errors
//! and what is done about them. `link` is one connection; `line` reconnects with one back-off per purpose. `publisher`
//! sends with confirms, `under_way` limits each client's share of that, `fullness` tells a full queue from a broken
//! one, and `probe` checks whether a part would be accepted. `consumer` takes parts, `newer` returns those of a newer
//! release, `in_hand` settles them, `listener` receives hints, and `dead_letters` lists and takes dead letters.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::broker::{
    Broker, BrokerError, BrokerLimits, Consumer, DeadLetter, Hint, Listener, QueueDepth, TakenDeadLetter,
    WhichLetters,
};
use crate::messages::Part;

use consumer::{Surroundings, start_consumer};
use faults::RabbitMqFault;
use line::Line;
use link::{Link, Purpose, Route};
use listener::start_listener;
use probe::Probe;
use publisher::{Message, Publisher};
use topology::Topology;

mod address;
mod consumer;
mod dead_letters;
mod faults;
mod fullness;
mod in_hand;
mod line;
mod link;
mod listener;
mod newer;
mod probe;
mod publisher;
mod topology;
mod under_way;
mod wire;

/// Which RabbitMQ, and how to use it.
#[derive(Clone)]
pub struct RabbitMqConfig {
    /// `amqp://user:password@host:port/vhost`; a heartbeat may be set as `?heartbeat=seconds`.
    pub url: String,
    /// Prefix of the name of every queue and exchange.
    pub prefix: String,
    /// Its limits.
    pub limits: BrokerLimits,
}

/// A queue on RabbitMQ.
pub struct RabbitMqBroker {
    call_timeout: Duration,
    consuming: Line,
    probe: Probe,
    around: Surroundings,
    /// Held while dead letters are read, which hides them from other readers.
    looking: Mutex<()>,
}

/// Checks an address of RabbitMQ without connecting.
///
/// # Errors
/// A sentence on why it can never work, without the password.
pub fn check_url(url: &str) -> Result<(), String> {
    address::parse(url).map(|_| ())
}

impl RabbitMqBroker {
    /// Creates a broker that connects on first use.
    ///
    /// # Errors
    /// [`BrokerError::Malformed`] for an address that can never work, see [`check_url`].
    pub fn new(config: RabbitMqConfig) -> Result<Arc<Self>, BrokerError> {
        let RabbitMqConfig { url, prefix, limits } = config;
        let uri = address::parse(&url).map_err(BrokerError::Malformed)?;
        let topology = Arc::new(Topology::new(&prefix, limits));
        let line = |purpose| Line::new(Route { uri: uri.clone(), purpose, topology: Arc::clone(&topology) });
        let publishing = line(Purpose::Publishing);
        let publisher = Publisher::new(publishing.clone(), limits.call_timeout, Arc::clone(&topology));
        Ok(Arc::new(Self {
            call_timeout: limits.call_timeout,
            consuming: line(Purpose::Consuming),
            probe: Probe::new(publishing, Arc::clone(&topology)),
            around: Surroundings {
                publisher: Arc::new(publisher),
                topology,
                newer: Arc::default(),
                limit: limits.call_timeout,
            },
            looking: Mutex::new(()),
        }))
    }

    /// Creates a broker that is connected, its queues declared.
    ///
    /// # Errors
    /// As [`Self::new`], or the connection failed within the call timeout.
    pub async fn connect(config: RabbitMqConfig) -> Result<Arc<Self>, BrokerError> {
        let broker = Self::new(config)?;
        broker.depth().await?;
        Ok(broker)
    }

    fn topology(&self) -> &Topology {
        &self.around.topology
    }

    async fn counts(&self, link: &Link) -> Result<QueueDepth, RabbitMqFault> {
        let channel = link.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare = |name: &str| channel.queue_declare(name.into(), passive, FieldTable::default());
        let parts = declare(&self.topology().parts).await?;
        let dead = declare(&self.topology().dead).await?;
        let letters = declare(&self.topology().letters).await?;
        Ok(QueueDepth {
            waiting: u64::from(parts.message_count()),
            consumers: u64::from(parts.consumer_count()),
            dead_letters: u64::from(dead.message_count()) + u64::from(letters.message_count()),
        })
    }
}

#[async_trait]
impl Broker for RabbitMqBroker {
    async fn can_publish(&self) -> Result<(), BrokerError> {
        self.probe.ask().await?;
        // The queue of parts may have its own problems, which only parts show.
        self.around.publisher.trouble().map_or(Ok(()), |fault| Err(fault.into()))
    }

    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        let payload = wire::encode(&part)?;
        let (id, client) = (part.id.to_string(), part.client.clone());
        drop(part);
        let message = Message::part(&self.topology().parts, payload, &id);
        tokio::select! {
            biased;
            outcome = self.around.publisher.publish_of(client.as_ref(), message) => outcome,
            refusal = self.probe.until_refused(self.call_timeout / 3) => Err(refusal),
        }
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let consumer = self
            .consuming
            .call(self.call_timeout, |link| {
                // A task of its own: if the caller gives up during the subscription, the task completes it and drops
                // it. Otherwise RabbitMQ would hold parts for a consumer that takes none.
                let starting = start_consumer(link, prefetch, self.around.clone());
                let starting = tokio::spawn(timeout(self.call_timeout, starting));
                async move {
                    starting.await.ok().and_then(Result::ok).unwrap_or_else(|| Err(RabbitMqFault::silent()))
                }
            })
            .await?;
        Ok(Box::new(consumer))
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.consuming.call(self.call_timeout, |link| async move { self.counts(&link).await }).await
    }

    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        let payload = wire::encode_hint(&hint)?;
        self.around.publisher.publish(Message::hint(&self.topology().control, payload)).await
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        let listener = self
            .consuming
            .call(self.call_timeout, |link| async move { start_listener(&link, self.topology()).await })
            .await?;
        Ok(Box::new(listener))
    }

    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        let payload = wire::encode(&part)?;
        let id = part.id.to_string();
        self.around.publisher.publish(Message::dead(&self.topology().letters, payload, &id, reason)).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        // Each read is bounded, and so is the wait behind a few operators.
        let _alone = self.looking.lock().await;
        let queues = self.topology().both_dead();
        self.consuming
            .call(self.call_timeout, |link| async move { dead_letters::list(&link, queues, limit).await })
            .await
    }

    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError> {
        let _alone = self.looking.lock().await;
        let (queues, limit) = (self.topology().both_dead(), self.call_timeout);
        self.consuming
            .call(limit, |link| async move { dead_letters::take(&link, queues, which, limit).await })
            .await
    }
}

/// Parses a message as workers do: its bytes may be a part's or a hint's. For fuzzing.
///
/// # Errors
/// Why it is not a part.
pub fn read_message(bytes: &[u8]) -> Result<Part, String> {
    let _ = wire::decode_hint(bytes);
    wire::decode(bytes)
}
