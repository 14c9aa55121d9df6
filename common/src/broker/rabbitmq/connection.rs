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

/// Longest time to connect and declare. Longer than a call may take: a server that has just come back
/// chooses the leaders of its queues first, and callers who gave up meanwhile come again.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

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

/// A connection that is made when it is needed.
pub(super) struct Line {
    route: Arc<Route>,
    current: Arc<Mutex<Option<Arc<Link>>>>,
}

/// Where a connection goes, and what it must find there.
struct Route {
    uri: AMQPUri,
    name: &'static str,
    topology: Arc<Topology>,
}

impl Line {
    pub(super) fn new(url: &str, name: &'static str, topology: Arc<Topology>) -> Result<Self, BrokerError> {
        let mut uri = AMQPUri::from_str(url).map_err(|fault| {
            BrokerError::Malformed(format!(
                "the RabbitMQ URL: {fault}, expected `amqp://user:password@host:port/vhost`"
            ))
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self { route: Arc::new(Route { uri, name, topology }), current: Arc::default() })
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
        let mut current = Arc::clone(&self.current).lock_owned().await;
        if let Some(link) = current.as_ref().filter(|link| link.is_up()) {
            return Ok(Arc::clone(link));
        }
        *current = None;
        let route = Arc::clone(&self.route);
        // A task of its own: that a caller gives up must not end the attempt, or callers in a hurry would
        // never have a connection.
        let connecting = tokio::spawn(async move {
            let link = timeout(CONNECT_LIMIT, route.connect()).await.map_err(|_| no_answer())??;
            Ok(Arc::clone(current.insert(Arc::new(link))))
        });
        connecting.await.unwrap_or_else(|_| Err(no_answer()))
    }

    async fn give_up(&self, link: &Arc<Link>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            *current = None;
        }
    }
}

impl Route {
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
}
