//! The broker of a single process: a queue in memory, with all guarantees except surviving a crash.

mod lines;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

use self::lines::{Lines, QueuedPart};
use crate::broker::newer::{Header, NewerParts, pauses};
use crate::broker::{
    Acknowledge, Broker, BrokerError, BrokerLimits, Consumer, DeadLetter, Delivery, Hint, Listener,
    MAX_DEAD_LETTER_BYTES, QueueDepth, TakenDeadLetter, WhichLetters,
};
use crate::messages::Part;
use crate::patience::Backoff;

/// Hints that a slow listener may lag behind before it misses the oldest.
const HINT_BACKLOG: usize = 64;

/// A queue in memory.
pub struct InProcessBroker {
    limits: BrokerLimits,
    shared: Arc<Shared>,
    hints: broadcast::Sender<Hint>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    newer: NewerParts,
}

/// Parts and dead letters in order of arrival: returned ones get their old position.
#[derive(Default)]
struct State {
    next_place: u64,
    waiting: Lines,
    dead: BTreeMap<u64, Dead>,
    consumers: u64,
    /// Bytes of waiting and delivered parts: both are in this process's memory.
    bytes: u64,
}

#[derive(Clone)]
struct Dead {
    part: Part,
    reason: String,
}

impl InProcessBroker {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(limits: BrokerLimits) -> Arc<Self> {
        Arc::new(Self { limits, shared: Arc::default(), hints: broadcast::channel(HINT_BACKLOG).0 })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, position: u64, part: Part, attempt: u32) {
        let mut state = self.state();
        state.waiting.let_go(part.client.as_ref());
        state.waiting.push(position, QueuedPart { part, attempt });
        drop(state);
        self.arrived.notify_one();
    }
}

/// The memory of a part, including the data beside its images.
fn memory_of(part: &Part) -> u64 {
    const BESIDE: usize = 1 << 10;
    (part.payload.bytes() + BESIDE) as u64
}

impl State {
    /// Returns whether one more part fits.
    fn has_room_for(&self, part: &Part, limits: BrokerLimits) -> bool {
        let fits = |most| self.bytes == 0 || self.bytes + memory_of(part) <= most;
        self.waiting.len() < limits.max_parts as usize && limits.max_bytes.is_none_or(fits)
    }

    /// Releases the memory of a part that has ended.
    fn let_go(&mut self, part: &Part) {
        self.bytes = self.bytes.saturating_sub(memory_of(part));
        self.waiting.let_go(part.client.as_ref());
    }

    fn next_position(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place
    }
}

#[async_trait]
impl Broker for InProcessBroker {
    async fn can_publish(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        {
            let mut state = self.shared.state();
            if !state.has_room_for(&part, self.limits) {
                return Err(BrokerError::Full);
            }
            state.bytes += memory_of(&part);
            let position = state.next_position();
            state.waiting.push(position, QueuedPart { part, attempt: 1 });
        }
        self.shared.arrived.notify_one();
        Ok(())
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        self.shared.state().consumers += 1;
        Ok(Box::new(InProcessConsumer {
            shared: Arc::clone(&self.shared),
            hands: Arc::new(Semaphore::new(usize::from(prefetch.max(1)))),
            stopped: false,
            pauses: pauses(),
        }))
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        let state = self.shared.state();
        Ok(QueueDepth {
            waiting: state.waiting.len() as u64,
            consumers: state.consumers,
            dead_letters: state.dead.len() as u64,
        })
    }

    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        // An error means that there is no listener, which is fine for a hint.
        let _ = self.hints.send(hint);
        Ok(())
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        Ok(Box::new(InProcessListener(self.hints.subscribe())))
    }

    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        let mut state = self.shared.state();
        let bytes: usize = state.dead.values().map(|dead| dead.part.payload.bytes()).sum();
        if (bytes + part.payload.bytes()) as u64 > MAX_DEAD_LETTER_BYTES {
            return Err(BrokerError::Full);
        }
        let position = state.next_position();
        state.dead.insert(position, Dead { part, reason: reason.to_owned() });
        Ok(())
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let state = self.shared.state();
        Ok(state.dead.values().take(limit).map(|dead| DeadLetter::of(&dead.part, &dead.reason)).collect())
    }

    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError> {
        let mut state = self.shared.state();
        let wanted = |dead: &Dead| which.has(Some(dead.part.id));
        let positions: Vec<u64> =
            state.dead.iter().filter(|(_, dead)| wanted(dead)).map(|(position, _)| *position).collect();
        let taken =
            positions.into_iter().filter_map(|position| Some((position, state.dead.remove(&position)?)));
        Ok(taken
            .map(|(position, dead)| TakenDeadLetter {
                letter: DeadLetter::of(&dead.part, &dead.reason),
                part: Some(dead.part.clone()),
                acknowledge: Box::new(DeadInHand {
                    shared: Arc::clone(&self.shared),
                    dead: Some((position, dead)),
                }),
            })
            .collect())
    }
}

struct InProcessConsumer {
    shared: Arc<Shared>,
    /// One permit per part that the worker may hold.
    hands: Arc<Semaphore>,
    stopped: bool,
    /// Pauses for parts of a newer release.
    pauses: Backoff,
}

/// What a consumer finds in the queue.
enum Found {
    Part(Box<Delivery>),
    /// An unreadable part, which keeps its permit for a while.
    Newer,
    Nothing(OwnedSemaphorePermit),
}

impl InProcessConsumer {
    fn take(&mut self, hand: OwnedSemaphorePermit) -> Found {
        let Some((position, QueuedPart { part, attempt })) = self.shared.state().waiting.take() else {
            return Found::Nothing(hand);
        };
        if let Some(header) = Header::of_newer(&part) {
            self.shared.newer.count(header);
            if header.is_over() {
                self.shared.state().let_go(&part);
            } else {
                self.give_back(part, hand);
            }
            return Found::Newer;
        }
        self.pauses.reset();
        let held = Some((position, part.clone(), attempt));
        let acknowledge = Box::new(PartInHand { shared: Arc::clone(&self.shared), held, _hand: hand });
        Found::Part(Box::new(Delivery { part, attempt, acknowledge }))
    }

    /// Moves a part that only a newer worker can read to the end of the queue, after a pause.
    fn give_back(&mut self, part: Part, hand: OwnedSemaphorePermit) {
        let (shared, pause) = (Arc::clone(&self.shared), self.pauses.next_pause());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let position = shared.state().next_position();
            shared.give_back(position, part, 1);
            drop(hand);
        });
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.shared.state().consumers -= 1;
        }
    }
}

#[async_trait]
impl Consumer for InProcessConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        if self.stopped {
            return Ok(None);
        }
        loop {
            // Needs no bound: it ends when the worker settles a part.
            let Ok(hand) = Arc::clone(&self.hands).acquire_owned().await else { return Ok(None) };
            let shared = Arc::clone(&self.shared);
            let arrived = shared.arrived.notified();
            match self.take(hand) {
                Found::Part(delivery) => return Ok(Some(*delivery)),
                Found::Newer => {}
                Found::Nothing(unused) => {
                    drop(unused);
                    arrived.await;
                }
            }
        }
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        self.leave();
        Ok(())
    }
}

impl Drop for InProcessConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A delivered part. If it is dropped, it goes back to the queue.
struct PartInHand {
    shared: Arc<Shared>,
    held: Option<(u64, Part, u32)>,
    _hand: OwnedSemaphorePermit,
}

#[async_trait]
impl Acknowledge for PartInHand {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        if let Some((_, part, _)) = self.held.take() {
            self.shared.state().let_go(&part);
        }
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        drop(self);
        Ok(())
    }
}

impl Drop for PartInHand {
    fn drop(&mut self) {
        if let Some((position, part, attempt)) = self.held.take() {
            self.shared.give_back(position, part, attempt.saturating_add(1));
        }
    }
}

/// A dead letter that an operator has taken. If it is dropped, it goes back.
struct DeadInHand {
    shared: Arc<Shared>,
    dead: Option<(u64, Dead)>,
}

#[async_trait]
impl Acknowledge for DeadInHand {
    async fn ack(mut self: Box<Self>) -> Result<(), BrokerError> {
        self.dead = None;
        Ok(())
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        drop(self);
        Ok(())
    }
}

impl Drop for DeadInHand {
    fn drop(&mut self) {
        if let Some((position, dead)) = self.dead.take() {
            self.shared.state().dead.insert(position, dead);
        }
    }
}

struct InProcessListener(broadcast::Receiver<Hint>);

#[async_trait]
impl Listener for InProcessListener {
    async fn next(&mut self) -> Result<Hint, BrokerError> {
        loop {
            match self.0.recv().await {
                Ok(hint) => return Ok(hint),
                // The oldest hints were missed; newer ones follow, and the truth is in the store.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(BrokerError::Unavailable("the broker was dropped".to_owned()));
                }
            }
        }
    }
}
