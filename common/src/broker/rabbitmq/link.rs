//! One connection to RabbitMQ, and its state.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::ConfirmSelectOptions;
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::faults::{FaultKind, RabbitMqFault};
use super::topology::Topology;

/// Timeout to connect and declare. Longer than a call: a restarted server first elects the leaders of its queues, and
/// callers that gave up meanwhile come again.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Timeout of a clean close before the socket is closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Most bytes of messages that wait to be written to one connection. Enough for some seconds of a slow network; more
/// would only fill the memory while the server hangs.
pub(super) const ROOM: usize = 32 << 20;

/// The purpose of a connection. RabbitMQ stops reading from publishing connections while it is short of memory or disk,
/// and acknowledgements must still get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Publishes messages.
    Publishing,
    /// Consumes messages and inspects queues.
    Consuming,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Publishing => "publishing",
            Self::Consuming => "consuming",
        }
    }
}

/// The address of a connection, and the queues that it needs.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) uri: AMQPUri,
    pub(super) purpose: Purpose,
    pub(super) topology: Arc<Topology>,
}

/// One connection with its main channel, which confirms published messages.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) channel: Channel,
    /// Bytes that may still be handed to lapin.
    pub(super) room: Arc<Semaphore>,
    pub(super) made: Instant,
    purpose: Purpose,
    topology: Arc<Topology>,
    /// Why RabbitMQ blocks this connection, while it does.
    blocked: watch::Receiver<Option<String>>,
    watcher: AbortHandle,
    socket: Socket,
}

impl Route {
    /// Connects, and declares the queues.
    pub(super) async fn connect(&self) -> Result<Link, RabbitMqFault> {
        let socket = Socket::default();
        let link = timeout(CONNECT_LIMIT, self.link(socket.clone()))
            .await
            .unwrap_or_else(|_| Err(RabbitMqFault::silent()));
        if link.is_err() {
            // lapin would keep its thread for as long as a silent server keeps the socket open.
            socket.close();
        }
        link
    }

    async fn link(&self, socket: Socket) -> Result<Link, RabbitMqFault> {
        let name = format!("classifier {}", self.purpose.name());
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = open(self.uri.clone(), properties, socket.clone()).await?;
        self.topology.declare(&connection).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (blocked, watcher) = watch_alarms(&connection);
        Ok(Link {
            connection,
            channel,
            room: Arc::new(Semaphore::new(ROOM)),
            made: Instant::now(),
            purpose: self.purpose,
            topology: Arc::clone(&self.topology),
            blocked,
            watcher,
            socket,
        })
    }
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Declares queues and exchanges again after one was deleted.
    pub(super) async fn declare(&self) -> Result<(), RabbitMqFault> {
        self.topology.declare(&self.connection).await
    }

    /// Returns the current alarm.
    pub(super) fn alarm(&self) -> Option<RabbitMqFault> {
        let reason = self.blocked.borrow().clone();
        // The flag is set shortly before the reason arrives.
        let reason = reason.or_else(|| self.connection.status().blocked().then(String::new))?;
        Some(alarm(&reason))
    }

    /// Waits until an alarm is raised. The caller bounds the wait.
    pub(super) async fn until_alarm(&self) -> RabbitMqFault {
        let mut blocked = self.blocked.clone();
        let reason = blocked.wait_for(Option::is_some).await.map(|reason| reason.clone());
        match reason {
            Ok(reason) => alarm(&reason.unwrap_or_default()),
            // Notes that the connection has ended and fails its calls.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.watcher.abort();
        match self.purpose {
            // Others may still hold channels and unsettled messages; it ends with the last one.
            Purpose::Consuming => {}
            // While RabbitMQ blocks the connection, lapin writes nothing, not even a close: such a connection would
            // stay forever, with its thread and buffers.
            Purpose::Publishing => {
                let socket = self.socket.clone();
                let Ok(runtime) = Handle::try_current() else { return socket.close() };
                runtime.spawn(async move {
                    tokio::time::sleep(CLOSE_LIMIT).await;
                    socket.close();
                });
            }
        }
    }
}

fn alarm(reason: &str) -> RabbitMqFault {
    let short = "RabbitMQ is short of memory or disk";
    let said = if reason.is_empty() { short.to_owned() } else { format!("{short}: {reason}") };
    RabbitMqFault::new(FaultKind::Alarm, said)
}

/// Follows the server's alarms.
fn watch_alarms(connection: &Connection) -> (watch::Receiver<Option<String>>, AbortHandle) {
    let (sender, blocked) = watch::channel(None);
    let mut events = Box::pin(connection.events_listener());
    let watching = tokio::spawn(async move {
        // Ends with the connection, or with the link.
        while let Some(event) = events.next().await {
            match event {
                Event::ConnectionBlocked(reason) => {
                    tracing::warn!(reason, "RabbitMQ accepts no messages for now");
                    sender.send_replace(Some(reason));
                }
                Event::ConnectionUnblocked => {
                    tracing::info!("RabbitMQ accepts messages again");
                    sender.send_replace(None);
                }
                Event::Connected | Event::SendFlow(_) | Event::Error(_) | _ => {}
            }
        }
    });
    (blocked, watching.abort_handle())
}

/// Connects with a socket that this program can close by itself.
async fn open(uri: AMQPUri, properties: ConnectionProperties, socket: Socket) -> lapin::Result<Connection> {
    let runtime = lapin::runtime::default_runtime()?;
    let own = runtime.clone();
    let connect = async move |uri: AMQPUri, _| {
        // Without a timeout lapin's thread would wait as long as the system does, some minutes.
        let stream = timeout(CONNECT_LIMIT, uri.connect_async(&own)).await.map_err(io::Error::from)??;
        if let AsyncTcpStream::Plain(plain) = &stream {
            socket.keep(plain.get_ref().as_fd().try_clone_to_owned()?.into());
        }
        Ok(stream)
    };
    Connection::connector(uri, runtime, connect, properties).await
}

/// A second handle to a connection's socket.
#[derive(Clone, Default)]
struct Socket(Arc<Mutex<Handles>>);

#[derive(Default)]
struct Handles {
    stream: Option<TcpStream>,
    closed: bool,
}

impl Socket {
    fn keep(&self, stream: TcpStream) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.closed {
            let _ = stream.shutdown(Shutdown::Both);
        } else {
            handles.stream = Some(stream);
        }
    }

    fn close(&self) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.closed = true;
        if let Some(stream) = handles.stream.take() {
            // A failure means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
