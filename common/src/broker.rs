//! The queue of parts and the control broadcast, as a trait with two implementations.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::ids::{ClientName, Generation};
use crate::messages::{Part, PartId, PinnedModel};

pub mod in_process;
mod newer;
pub mod rabbitmq;

/// Most bytes of images in dead letters: a client whose images crash every worker must not fill a disk.
pub const MAX_DEAD_LETTER_BYTES: u64 = 128 << 20;

/// Why a broker call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// The bounded queue is full; nothing was queued.
    #[error("the queue is full")]
    Full,
    /// The broker is out of reach, or did not confirm in time: the part may or may not be queued.
    #[error("the broker is out of reach: {0}")]
    Unavailable(String),
    /// The broker will certainly refuse for now, for this reason: memory or disk alarm, queue without quorum, missing
    /// permission. An immediate retry is useless.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// A message could not be serialized or parsed.
    #[error("a message could not be understood: {0}")]
    Malformed(String),
}

/// Queues parts, delivers each to one worker at a time, and broadcasts hints.
///
/// # Contract
///
/// - `publish` returns `Ok` only if the part survives a restart of the broker (where the broker is a separate process).
///   Publishing the same part twice is allowed; consumers must cope.
/// - A delivery that is neither acknowledged nor requeued, because its worker died, stalled or dropped it, is delivered
///   again, with `attempt` increased by one as far as the broker can tell.
/// - Parts are delivered in the order of publication, as far as redelivery allows.
/// - At most [`BrokerLimits::max_parts`] parts wait; one more is [`BrokerError::Full`], and so is one that exceeds
///   [`BrokerLimits::max_bytes`], unless the queue is empty. Accepted parts are never dropped to make room.
/// - A part that a newer release wrote and this one cannot read goes back to the end of the queue for a newer worker.
///   It never becomes a dead letter, and is dropped after its deadline.
/// - A broadcast reaches every connected listener at most once: it is only a hint.
/// - Every call ends within a bounded time, also while the broker is out of reach.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Checks whether a part would be accepted now: the broker lets this process in, takes its messages, and stores
    /// them safely. Does not check whether the queue is full.
    async fn can_publish(&self) -> Result<(), BrokerError>;

    /// Queues one part.
    async fn publish(&self, part: Part) -> Result<(), BrokerError>;

    /// Subscribes to parts, with at most `prefetch` unacknowledged ones at a time.
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// Returns the length of the queue.
    async fn depth(&self) -> Result<QueueDepth, BrokerError>;

    /// Broadcasts a hint to all listeners.
    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError>;

    /// Subscribes to hints.
    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError>;

    /// Makes a part a dead letter, kept with the reason for an operator. Past [`MAX_DEAD_LETTER_BYTES`] this is
    /// [`BrokerError::Full`]: the oldest stay, since they show the first cause.
    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError>;

    /// Lists at most `limit` dead letters, oldest first. They stay where they are.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError>;

    /// Takes dead letters out of their queue, including unreadable ones. The caller publishes them again or drops them.
    /// If the caller dies in between, they return to the dead letters.
    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError>;
}

/// Limits of a broker.
#[derive(Debug, Clone, Copy)]
pub struct BrokerLimits {
    /// Most parts in the queue.
    pub max_parts: u32,
    /// Most bytes of parts in the queue, and of delivered ones if the queue is in memory; `None` for no limit.
    pub max_bytes: Option<u64>,
    /// Timeout of every call.
    pub call_timeout: Duration,
}

/// A worker's subscription to parts.
#[async_trait]
pub trait Consumer: Send {
    /// Returns the next part, and waits for it without limit: the broker's heartbeats end the wait if the broker is
    /// gone. `None` once the consumer was stopped and all parts that had reached it were returned. After an error every
    /// later call fails as well: drop the consumer and subscribe again, which also declares queues again.
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError>;

    /// Stops new deliveries. Parts that were delivered but not returned by `next` go back to the queue; returned ones
    /// can still be acknowledged. Ends within the call timeout, also if the subscription has ended.
    async fn stop(&mut self) -> Result<(), BrokerError>;
}

/// A part that was delivered to a worker.
pub struct Delivery {
    /// The part.
    pub part: Part,
    /// 1 for the first delivery, as far as the broker can tell.
    pub attempt: u32,
    /// Ends the delivery.
    pub acknowledge: Box<dyn Acknowledge>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("part", &self.part.id).field("attempt", &self.attempt).finish()
    }
}

/// Ends a delivery. If it is dropped unused, the part goes back to the queue, at the latest when the worker's
/// connection ends.
#[async_trait]
pub trait Acknowledge: Send + Sync {
    /// The result is stored: the broker can forget the part.
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;

    /// Gives the part to another worker.
    async fn requeue(self: Box<Self>) -> Result<(), BrokerError>;
}

/// The length of the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDepth {
    /// Parts that wait for a worker.
    pub waiting: u64,
    /// Consumers of the queue. A stopped one may count until its last part is settled.
    pub consumers: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// A broadcast. Receivers read the store, which has the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// The wanted state of the fleet changed, in this generation.
    FleetChanged(Generation),
}

/// A subscription to hints.
#[async_trait]
pub trait Listener: Send {
    /// Returns the next hint, and waits for it. After an error every later call fails as well: subscribe again and read
    /// the store.
    async fn next(&mut self) -> Result<Hint, BrokerError>;
}

/// Which dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichLetters {
    /// All of them.
    All,
    /// Those of one part.
    Of(PartId),
    /// Unreadable ones that do not say of which part they are.
    Unidentified,
}

impl WhichLetters {
    /// Returns whether a letter of this part is among them; `None` for one that does not say.
    #[must_use]
    pub fn has(self, id: Option<PartId>) -> bool {
        match self {
            Self::All => true,
            Self::Of(part) => id == Some(part),
            Self::Unidentified => id.is_none(),
        }
    }
}

/// A message that was given up, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which part of which job; `None` where an unreadable message does not say.
    pub id: Option<PartId>,
    /// What the part is; `None` where the message is unreadable.
    pub part: Option<DeadPart>,
    /// Bytes of its images, or of the unreadable message.
    pub bytes: u64,
    /// Why it was given up.
    pub reason: String,
}

/// What is known of a part that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadPart {
    /// Positions of its images in the request.
    pub positions: Vec<u32>,
    /// The model it was for.
    pub model: PinnedModel,
    /// Its client; `None` for a client without a name.
    pub client: Option<ClientName>,
}

impl DeadLetter {
    /// Describes a part that becomes a dead letter.
    #[must_use]
    pub fn of(part: &Part, reason: &str) -> Self {
        let known = DeadPart {
            positions: part.payload.positions(),
            model: part.model.clone(),
            client: part.client.clone(),
        };
        Self {
            id: Some(part.id),
            part: Some(known),
            bytes: part.payload.bytes() as u64,
            reason: reason.to_owned(),
        }
    }
}

/// A dead letter taken out of its queue. Acknowledge it once it is stored elsewhere, or to drop it.
pub struct TakenDeadLetter {
    /// As it was listed.
    pub letter: DeadLetter,
    /// The part; `None` where the message is unreadable: it can only be dropped.
    pub part: Option<Part>,
    /// `ack` deletes it, `requeue` returns it to the dead letters.
    pub acknowledge: Box<dyn Acknowledge>,
}
