//! The queue of parts and the control broadcast, as a trait with two implementations.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ids::{ClientName, Generation};
use crate::messages::{Part, PartId};

pub mod in_process;
mod newer;
pub mod rabbitmq;

/// Most bytes of images in dead letters: a client whose images crash every worker must not fill a disk.
pub const MAX_DEAD_LETTER_BYTES: u64 = 128 << 20;

/// Why the broker did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// The bounded queue is full; nothing was queued.
    #[error("the queue is full")]
    Full,
    /// The broker is out of reach, or did not confirm in time: the part may or may not be queued.
    #[error("the broker is out of reach: {0}")]
    Unavailable(String),
    /// The broker is certain to refuse for now, for this reason: it is short of memory or disk, its queue has no
    /// quorum, the user may not. Trying again at once is of no use.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// A message could not be written or read.
    #[error("a message could not be understood: {0}")]
    Malformed(String),
}

/// Queues parts, hands each to one worker at a time, and broadcasts hints.
///
/// # Contract
///
/// - `publish` returns `Ok` only when the part survives a restart of the broker (where the broker has
///   one at all). Publishing the same part twice is allowed; consumers must cope.
/// - A delivery that is neither acknowledged nor requeued, because its worker died, stalled or dropped
///   it, is delivered again, with `attempt` one higher than before as far as the broker can tell.
/// - Parts are delivered in the order of publication, as far as redelivery allows.
/// - At most [`BrokerLimits::max_parts`] parts wait; one more is [`BrokerError::Full`], and so is one that would
///   make them more than [`BrokerLimits::max_bytes`], unless none waits. Parts that were accepted are never dropped
///   for it.
/// - A part that a newer release wrote and this one cannot read goes back to the end of the queue for a
///   newer worker. It never becomes a dead letter; past its deadline it is dropped.
/// - A broadcast reaches every listener that is connected, at most once: it is a hint.
/// - Every call ends within a bounded time, also while the broker is away.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Returns whether a part that is published now would be taken: the broker lets this process in, takes
    /// its messages, and stores them safely. Says nothing of how full the queue is.
    async fn can_publish(&self) -> Result<(), BrokerError>;

    /// Queues one part.
    async fn publish(&self, part: Part) -> Result<(), BrokerError>;

    /// Starts taking parts; at most `prefetch` unacknowledged ones at a time.
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// How much is waiting.
    async fn depth(&self) -> Result<QueueDepth, BrokerError>;

    /// Tells every listener.
    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError>;

    /// Starts listening.
    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError>;

    /// Makes a part a dead letter, kept with the reason for an operator. Past [`MAX_DEAD_LETTER_BYTES`] this is
    /// [`BrokerError::Full`]: the oldest stay, since they show the first cause.
    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError>;

    /// Lists at most `limit` dead letters, oldest first. They stay where they are.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError>;

    /// Takes dead letters out of their queue: the named one, or all, including unreadable ones. The caller publishes
    /// them again or drops them. If the caller dies in between, they return to the dead letters.
    async fn take_dead_letters(&self, which: Option<PartId>) -> Result<Vec<TakenDeadLetter>, BrokerError>;
}

/// Bounds of a broker.
#[derive(Debug, Clone, Copy)]
pub struct BrokerLimits {
    /// Parts that may wait.
    pub max_parts: u32,
    /// Bytes of parts that may wait, or be in memory where the queue is; `None` for no bound.
    pub max_bytes: Option<u64>,
    /// Longest time for any one call.
    pub call_timeout: Duration,
}

/// One worker's stream of parts.
#[async_trait]
pub trait Consumer: Send {
    /// The next part; waits for one, for as long as that takes: the broker's heartbeats end the wait where
    /// the broker is gone. `None` when the consumer was stopped and everything that had reached it was handed
    /// out. After an error the consumer is of no more use, and every later call is an error as well: drop it
    /// and start another, which makes again what it needs.
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError>;

    /// Takes no new parts. What was delivered before and not yet handed out by `next` goes back to the
    /// queue for others; what was handed out can still be acknowledged. Ends within the call timeout, also
    /// where the stream has ended.
    async fn stop(&mut self) -> Result<(), BrokerError>;
}

/// One part in a worker's hands.
pub struct Delivery {
    /// The work.
    pub part: Part,
    /// 1 for the first delivery, as far as the broker can tell.
    pub attempt: u32,
    /// How to give it back.
    pub acknowledge: Box<dyn Acknowledge>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("part", &self.part.id).field("attempt", &self.attempt).finish()
    }
}

/// Ends a delivery. Dropped unused, the part goes back to the queue (at the latest when the worker's
/// connection ends).
#[async_trait]
pub trait Acknowledge: Send + Sync {
    /// The result is stored: the part can be forgotten.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;

    /// Somebody else should do it.
    async fn requeue(self: Box<Self>) -> Result<(), BrokerError>;
}

/// How much is in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDepth {
    /// Parts that wait for a worker.
    pub waiting: u64,
    /// Workers' consumers attached to the queue. One that was stopped may count until the last part that
    /// it handed out is settled.
    pub consumers: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// A broadcast. Whoever hears it looks into the store, where the truth is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// The fleet's wanted state changed; this generation is concerned.
    FleetChanged(Generation),
}

/// A stream of hints.
#[async_trait]
pub trait Listener: Send {
    /// The next hint; waits for one. After an error every later call is an error as well: listen anew and
    /// look into the store.
    async fn next(&mut self) -> Result<Hint, BrokerError>;
}

/// A part that was given up, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Which part of which job.
    pub id: PartId,
    /// Positions of its images in the request.
    pub positions: Vec<u32>,
    /// Bytes of its images.
    pub image_bytes: u64,
    /// The model it was for, as `name@version`.
    pub model: String,
    /// Why.
    pub reason: String,
    /// Whose it is; none of a client without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
}

impl DeadLetter {
    /// Stands for the model of a message that cannot be read as a part.
    pub const UNREADABLE: &str = "unreadable";

    /// Whether the message could be read as a part.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.model != Self::UNREADABLE
    }

    /// Describes a part that becomes a dead letter.
    #[must_use]
    pub fn of(part: &Part, reason: &str) -> Self {
        Self {
            id: part.id,
            positions: part.images.iter().map(|image| image.position).collect(),
            image_bytes: part.image_bytes() as u64,
            model: format!("{}@{}", part.model.name, part.model.version),
            reason: reason.to_owned(),
            client: part.client.clone(),
        }
    }
}

/// A dead letter taken out of its queue. Acknowledge it once it is stored elsewhere, or to drop it.
pub struct TakenDeadLetter {
    /// As it was listed.
    pub letter: DeadLetter,
    /// The part; `None` where the message is unreadable: it can only be dropped.
    pub part: Option<Part>,
    /// `ack` forgets it, `requeue` puts it back among the dead letters.
    pub acknowledge: Box<dyn Acknowledge>,
}
