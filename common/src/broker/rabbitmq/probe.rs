//! Whether RabbitMQ would take a part now and store it safely.

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

/// How long an answer counts. Many ask, and each answer costs a message on disk.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// Longest time for an answer, connecting included.
const LIMIT: Duration = Duration::from_millis(1_500);

/// Longest time for a channel, which only the server itself has to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);

/// Longest time until a few bytes are stored. A healthy cluster needs milliseconds.
const STORE_LIMIT: Duration = Duration::from_secs(1);

/// What was answered, and when.
type Answer = (Instant, Result<(), BrokerError>);

/// A connection on which nothing is stored is replaced, and not again for this long: without a majority
/// another one does no better.
const RENEW_AFTER: Duration = Duration::from_secs(10);

/// Asks the server, once for everybody who wants to know.
pub(super) struct Probe {
    line: Line,
    topology: Arc<Topology>,
    last: Arc<Mutex<Option<Answer>>>,
}

impl Probe {
    pub(super) fn new(line: Line, topology: Arc<Topology>) -> Self {
        Self { line, topology, last: Arc::default() }
    }

    /// Returns whether a part that is published now would be taken.
    pub(super) async fn ask(&self) -> Result<(), BrokerError> {
        if let Some(alarm) = self.line.current().and_then(|link| link.alarm()) {
            return Err(alarm.into());
        }
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < COUNTS_FOR
            // The yes of a connection that has ended since says nothing.
            && (answer.is_err() || self.line.current().is_some())
        {
            return answer.clone();
        }
        let (line, topology) = (self.line.clone(), Arc::clone(&self.topology));
        // A task of its own: the answer is for others too, also when this caller has left.
        let asking = tokio::spawn(async move {
            let answer = line.call(LIMIT, |link| try_out(&line, link, &topology)).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        });
        asking.await.unwrap_or_else(|_| Err(RabbitMqFault::silent().into()))
    }

    /// Waits until the server refuses for certain, and asks it only after `patience`: a part that is under
    /// way for so long may be waiting for a majority that is not there. The caller bounds the wait.
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
                // A channel may wait for a leader that is no more, and would do so for ever.
                line.give_up(&link, &fault);
            }
            Err(fault)
        }
    }
}

/// The server answers, so that only its queues are at fault.
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
