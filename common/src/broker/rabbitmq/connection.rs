//! Connections that are replaced when they break.
//!
//! lapin can recover connections by itself, but what is in flight meanwhile may hang for many seconds.
//! Here a broken connection fails everything on it at once, and the next call makes a new one.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{no_answer, topology::Topology, unavailable};
use crate::broker::BrokerError;

/// Seconds of silence after which either side takes the other for dead; RabbitMQ's own 60 would leave
/// the parts of a frozen worker lying for two minutes.
const HEARTBEAT: u16 = 10;

/// Longest time to connect and declare: a server that takes longer is not there yet.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// One connection with its everyday channel, which confirms what is published.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
}

impl Link {
    fn is_up(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

/// Where a connection goes, and the one there is.
pub(super) struct Line {
    uri: AMQPUri,
    name: &'static str,
    topology: Arc<Topology>,
    current: Mutex<Option<Arc<Link>>>,
}

impl Line {
    pub(super) fn new(url: &str, name: &'static str, topology: Arc<Topology>) -> Result<Self, BrokerError> {
        let mut uri = AMQPUri::from_str(url).map_err(|fault| {
            BrokerError::Malformed(format!(
                "the RabbitMQ URL: {fault}, expected `amqp://user:password@host:port/vhost`"
            ))
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self { uri, name, topology, current: Mutex::new(None) })
    }

    /// Acts on the connection, and gives it up if that is what failed.
    pub(super) async fn with_link<T, F>(&self, act: impl FnOnce(Arc<Link>) -> F) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, BrokerError>>,
    {
        let link = self.link().await?;
        let outcome = act(Arc::clone(&link)).await;
        if matches!(outcome, Err(BrokerError::Unavailable(_))) {
            self.give_up(&link).await;
        }
        outcome
    }

    /// The connection; a new one where there is none that works.
    async fn link(&self) -> Result<Arc<Link>, BrokerError> {
        // Held while connecting: one attempt serves everybody who waits.
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref().filter(|link| link.is_up()) {
            return Ok(Arc::clone(link));
        }
        *current = None;
        let link = timeout(CONNECT_LIMIT, self.connect()).await.map_err(|_| no_answer())??;
        Ok(Arc::clone(current.insert(Arc::new(link))))
    }

    async fn connect(&self) -> Result<Link, BrokerError> {
        let properties =
            ConnectionProperties::default().with_connection_name(format!("classifier {}", self.name).into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await.map_err(unavailable)?;
        self.topology.declare(&connection).await?;
        let channel = connection.create_channel().await.map_err(unavailable)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(unavailable)?;
        tracing::debug!(line = self.name, "connected to RabbitMQ");
        Ok(Link { connection, channel })
    }

    async fn give_up(&self, link: &Arc<Link>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            *current = None;
        }
    }
}
