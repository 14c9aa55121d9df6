//! Checks whether RabbitMQ would accept a part now and store it safely.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{FaultKind, RabbitMqFault};
use super::line::Line;
use super::link::Link;
use super::publisher::{Message, Taken, send};
use super::topology::Topology;
use crate::broker::BrokerError;

/// How long a result is cached: many callers ask, and each check writes a message to disk.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// Timeout of a check, including the connection.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Timeout of opening a channel, which only the server itself has to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);

/// Timeout of storing a few bytes. A healthy cluster needs milliseconds.
const STORE_LIMIT: Duration = Duration::from_secs(1);

/// The result, and when it was obtained.
type Answer = (Instant, Result<(), BrokerError>);

/// A connection on which nothing is stored is replaced, but not again for this long: without a majority a new one does
/// no better.
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// Checks the server, once for all callers.
pub(super) struct Probe {
    line: Line,
    topology: Arc<Topology>,
    last: Arc<Mutex<Option<Answer>>>,
}

impl Probe {
    pub(super) fn new(line: Line, topology: Arc<Topology>) -> Self {
        Self { line, topology, last: Arc::default() }
    }

    /// Checks whether a part would be accepted now.
    pub(super) async fn ask(&self) -> Result<(), BrokerError> {
        if let Some(alarm) = self.line.current().and_then(|link| link.alarm()) {
            return Err(alarm.into());
        }
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < COUNTS_FOR
            // A success does not count once its connection has ended.
            && (answer.is_err() || self.line.current().is_some())
        {
            return answer.clone();
        }
        let (line, topology) = (self.line.clone(), Arc::clone(&self.topology));
        // A task of its own: the result serves other callers, also if this one has left.
        let asking = tokio::spawn(async move {
            let answer = line.call(LIMIT, |link| try_out(&line, link, &topology)).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        });
        asking.await.unwrap_or_else(|_| Err(RabbitMqFault::silent().into()))
    }

    /// Waits until the server will certainly refuse, and begins to check after `patience`: a part that is unconfirmed
    /// for so long may wait for a majority that does not exist. The caller bounds the wait.
    pub(super) async fn until_refused(&self, patience: Duration) -> BrokerError {
        sleep(patience).await;
        loop {
            match self.ask().await {
                Err(refusal @ BrokerError::Refused(_)) => return refusal,
                Ok(()) | Err(BrokerError::Full | BrokerError::Unavailable(_) | BrokerError::Malformed(_)) => {
                }
            }
            sleep(COUNTS_FOR).await;
        }
    }
}

async fn try_out(line: &Line, link: Arc<Link>, topology: &Topology) -> Result<(), RabbitMqFault> {
    let channel = timeout(ANSWER_LIMIT, link.connection.create_channel())
        .await
        .map_err(|_| RabbitMqFault::silent())??;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let probe = Message::probe(&topology.probe);
    let storing = async {
        let parts = channel.queue_declare(topology.parts.as_str().into(), passive, FieldTable::default());
        let (there, stored) = tokio::join!(parts, send(&link, &probe));
        there?;
        stored
    };
    match timeout(STORE_LIMIT, storing).await {
        Ok(Ok(Taken::Yes)) => Ok(()),
        Ok(Err(fault)) => Err(fault),
        Ok(Ok(Taken::No)) | Err(_) => {
            let fault = not_stored(&topology.probe);
            if link.made.elapsed() > RENEW_AFTER {
                // A channel may wait forever for a leader that does not exist any more.
                line.give_up(&link, &fault);
            }
            Err(fault)
        }
    }
}

/// The server answers, so only its queues have a problem.
fn not_stored(queue: &str) -> RabbitMqFault {
    RabbitMqFault::new(
        FaultKind::NotStored,
        format!(
            "RabbitMQ answers and stores nothing: its queue `{queue}` confirmed no message within {} s, as when a \
             majority of its nodes is down",
            STORE_LIMIT.as_secs_f64()
        ),
    )
}
