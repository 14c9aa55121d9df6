//! The broker's server: the queue, its consumers, and its faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use common::broker::{BrokerError, DeadLetter, Hint, QueueDepth, WhichLetters};
use common::messages::{Part, PartId};
use tokio::sync::mpsc;

use crate::link::{Door, lock};
use crate::options::{Fix, Options};
use crate::trace::Trace;

/// A server that all processes share.
pub struct BrokerServer {
    /// Whether it accepts connections.
    pub door: Arc<Door>,
    options: Options,
    trace: Arc<Trace>,
    max_parts: usize,
    queue: Mutex<Queue>,
}

/// Parts and dead letters in order of arrival: returned ones get their old position.
#[derive(Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, QueuedPart>,
    dead: BTreeMap<u64, (Part, String)>,
    /// Dead letters that an operator has taken, and their connections.
    taken: BTreeMap<u64, (u64, Part, String)>,
    subscriptions: BTreeMap<u64, Subscription>,
    listeners: BTreeMap<u64, (u64, mpsc::UnboundedSender<Hint>)>,
    /// The next delivery goes to the subscription after this one.
    served: u64,
    alarm: bool,
    nacks: bool,
    full_at: Option<u64>,
}

#[derive(Clone)]
struct QueuedPart {
    part: Part,
    attempt: u32,
}

struct Subscription {
    connection: u64,
    prefetch: usize,
    held: BTreeMap<u64, QueuedPart>,
    /// `None` once it takes no more.
    deliver: Option<mpsc::UnboundedSender<Delivered>>,
}

/// A part that is being delivered.
pub(super) struct Delivered {
    pub(super) tag: u64,
    pub(super) part: Part,
    pub(super) attempt: u32,
}

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Forget,
    Return,
}

/// The current load of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Waiting parts.
    pub waiting: usize,
    /// Delivered parts.
    pub held: usize,
    /// Consumers.
    pub consumers: usize,
}

impl BrokerServer {
    /// Creates an empty queue for so many parts.
    #[must_use]
    pub fn new(options: Options, trace: Arc<Trace>, max_parts: u32) -> Arc<Self> {
        let max_parts = max_parts as usize;
        Arc::new(Self { door: Arc::default(), options, trace, max_parts, queue: Mutex::default() })
    }

    /// Returns the load of the queue.
    #[must_use]
    pub fn load(&self) -> Load {
        let queue = lock(&self.queue);
        let subscriptions = queue.subscriptions.values();
        Load {
            waiting: queue.waiting.len(),
            held: subscriptions.clone().map(|one| one.held.len()).sum(),
            consumers: subscriptions.filter(|one| one.deliver.is_some()).count(),
        }
    }

    /// Returns the dead letters with their reasons.
    #[must_use]
    pub fn dead(&self) -> Vec<(PartId, String)> {
        let queue = lock(&self.queue);
        queue.dead.values().map(|(part, reason)| (part.id, reason.clone())).collect()
    }

    /// Returns whether the queue was full at this moment or later.
    #[must_use]
    pub fn was_full_since(&self, moment: u64) -> bool {
        lock(&self.queue).full_at.is_some_and(|at| at >= moment)
    }

    /// Raises or ends the memory alarm.
    pub fn alarm(&self, alarm: bool) {
        lock(&self.queue).alarm = alarm;
    }

    /// Sets whether it rejects parts.
    pub fn nack(&self, nacks: bool) {
        lock(&self.queue).nacks = nacks;
    }

    /// Deletes the queue with its content; all subscriptions end.
    pub fn delete_queue(&self) {
        let mut queue = lock(&self.queue);
        queue.waiting.clear();
        for subscription in queue.subscriptions.values_mut() {
            subscription.held.clear();
            subscription.deliver = None;
        }
        queue.prune();
    }

    /// Ends a connection: all that its process held goes back.
    pub fn disconnect(&self, connection: u64) {
        let mut queue = lock(&self.queue);
        for id in queue.of(connection) {
            queue.end(id, true);
        }
        queue.listeners.retain(|_, (of, _)| *of != connection);
        queue.return_taken(connection);
        self.dispatch(&mut queue);
    }

    /// Ends every connection.
    pub fn disconnect_all(&self) {
        let mut connections: Vec<u64> = {
            let queue = lock(&self.queue);
            let takers = queue.subscriptions.values().map(|one| one.connection);
            takers.chain(queue.listeners.values().map(|(of, _)| *of)).collect()
        };
        connections.sort_unstable();
        connections.dedup();
        connections.into_iter().for_each(|connection| self.disconnect(connection));
    }

    /// Ends a connection's subscriptions; delivered parts can still be settled, unless the channel ends as well.
    pub fn end_streams(&self, connection: u64, with_channel: bool) {
        let mut queue = lock(&self.queue);
        for id in queue.of(connection) {
            queue.end(id, with_channel);
        }
        self.dispatch(&mut queue);
    }

    pub(super) fn publish(&self, part: &Part) -> Result<(), BrokerError> {
        let mut queue = lock(&self.queue);
        self.refusal(&queue)?;
        if queue.waiting.len() >= self.max_parts {
            queue.full_at = Some(self.trace.elapsed());
            return Err(BrokerError::Full);
        }
        let at = queue.position();
        queue.waiting.insert(at, QueuedPart { part: part.clone(), attempt: 1 });
        self.trace.note(|| format!("broker: queued {}/{}", self.trace.job(part.id.job), part.id.index));
        self.dispatch(&mut queue);
        Ok(())
    }

    fn refusal(&self, queue: &Queue) -> Result<(), BrokerError> {
        if !queue.alarm && !queue.nacks {
            return Ok(());
        }
        if !self.options.has(Fix::ErrorsAreTold) {
            return Err(BrokerError::Full);
        }
        let why = if queue.alarm { "it is short of memory" } else { "its queue has no quorum" };
        Err(BrokerError::Refused(why.to_owned()))
    }

    pub(super) fn can_publish(&self) -> Result<(), BrokerError> {
        self.refusal(&lock(&self.queue))
    }

    pub(super) fn subscribe(
        &self,
        connection: u64,
        prefetch: u16,
    ) -> (u64, mpsc::UnboundedReceiver<Delivered>) {
        let (deliver, delivered) = mpsc::unbounded_channel();
        let mut queue = lock(&self.queue);
        let id = queue.position();
        let prefetch = usize::from(prefetch.max(1));
        let subscription =
            Subscription { connection, prefetch, held: BTreeMap::new(), deliver: Some(deliver) };
        queue.subscriptions.insert(id, subscription);
        self.dispatch(&mut queue);
        (id, delivered)
    }

    /// Stops a subscription; parts with these tags, which the worker has not seen, go back.
    pub(super) fn unsubscribe(&self, id: u64) {
        let mut queue = lock(&self.queue);
        if let Some(subscription) = queue.subscriptions.get_mut(&id) {
            subscription.deliver = None;
        }
        queue.prune();
    }

    /// The consumer is gone: what was delivered goes back.
    pub(super) fn abandon(&self, id: u64) {
        let mut queue = lock(&self.queue);
        queue.end(id, true);
        self.dispatch(&mut queue);
    }

    pub(super) fn settle(&self, id: u64, tag: u64, how: Settled) -> Result<(), BrokerError> {
        let mut queue = lock(&self.queue);
        let held = queue.subscriptions.get_mut(&id).and_then(|one| one.held.remove(&tag));
        let Some(QueuedPart { part, attempt }) = held else {
            return Err(BrokerError::Unavailable("the channel has ended".to_owned()));
        };
        self.trace.note(|| {
            format!("broker: {how:?} {}/{} of {attempt}", self.trace.job(part.id.job), part.id.index)
        });
        if how == Settled::Return {
            queue.waiting.insert(tag, QueuedPart { part, attempt: attempt + 1 });
        }
        queue.prune();
        self.dispatch(&mut queue);
        Ok(())
    }

    pub(super) fn depth(&self) -> QueueDepth {
        let load = self.load();
        let dead = lock(&self.queue).dead.len();
        QueueDepth {
            waiting: load.waiting as u64,
            consumers: load.consumers as u64,
            dead_letters: dead as u64,
        }
    }

    pub(super) fn listen(&self, connection: u64) -> mpsc::UnboundedReceiver<Hint> {
        let (tell, told) = mpsc::unbounded_channel();
        let mut queue = lock(&self.queue);
        let id = queue.position();
        queue.listeners.insert(id, (connection, tell));
        told
    }

    pub(super) fn broadcast(&self, hint: Hint) {
        // An error means that the listener is gone.
        lock(&self.queue).listeners.retain(|_, (_, tell)| tell.send(hint).is_ok());
    }

    pub(super) fn dead_letter(&self, part: &Part, reason: &str) -> Result<(), BrokerError> {
        let mut queue = lock(&self.queue);
        self.refusal(&queue)?;
        let at = queue.position();
        self.trace.note(|| {
            format!("broker: dead letter {}/{}: {reason}", self.trace.job(part.id.job), part.id.index)
        });
        queue.dead.insert(at, (part.clone(), reason.to_owned()));
        Ok(())
    }

    pub(super) fn dead_letters(&self, limit: usize) -> Vec<DeadLetter> {
        let queue = lock(&self.queue);
        queue.dead.values().take(limit).map(|(part, reason)| DeadLetter::of(part, reason)).collect()
    }

    pub(super) fn take_dead_letters(&self, connection: u64, which: WhichLetters) -> Vec<(u64, Part, String)> {
        let mut queue = lock(&self.queue);
        // Those whose answer was lost went back with the channel of the call that took them.
        queue.return_taken(connection);
        let wanted = |part: &Part| which.has(Some(part.id));
        let found: Vec<u64> =
            queue.dead.iter().filter(|(_, (part, _))| wanted(part)).map(|(at, _)| *at).collect();
        let mut taken = Vec::new();
        for at in found {
            if let Some((part, reason)) = queue.dead.remove(&at) {
                queue.taken.insert(at, (connection, part.clone(), reason.clone()));
                taken.push((at, part, reason));
            }
        }
        taken
    }

    pub(super) fn settle_taken(&self, at: u64, how: Settled) -> Result<(), BrokerError> {
        let mut queue = lock(&self.queue);
        let Some((_, part, reason)) = queue.taken.remove(&at) else {
            return Err(BrokerError::Unavailable("the channel has ended".to_owned()));
        };
        if how == Settled::Return {
            queue.dead.insert(at, (part, reason));
        }
        Ok(())
    }

    /// Delivers waiting parts to the workers in turn.
    fn dispatch(&self, queue: &mut Queue) {
        while let Some((&at, _)) = queue.waiting.first_key_value() {
            let served = queue.served;
            let free = |one: &Subscription| one.deliver.is_some() && one.held.len() < one.prefetch;
            let after = queue.subscriptions.range(served + 1..).find(|(_, one)| free(one));
            let next = after.or_else(|| queue.subscriptions.range(..=served).find(|(_, one)| free(one)));
            let Some((&id, _)) = next else { return };
            let Some(waiting) = queue.waiting.remove(&at) else { return };
            queue.served = id;
            let Some(subscription) = queue.subscriptions.get_mut(&id) else { return };
            let QueuedPart { part, attempt } = waiting.clone();
            let delivered = Delivered { tag: at, part, attempt };
            let sent = subscription.deliver.as_ref().is_some_and(|deliver| deliver.send(delivered).is_ok());
            if sent {
                subscription.held.insert(at, waiting);
            } else {
                subscription.deliver = None;
                queue.waiting.insert(at, waiting);
            }
        }
    }
}

impl Queue {
    fn position(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn of(&self, connection: u64) -> Vec<u64> {
        let own = self.subscriptions.iter().filter(|(_, one)| one.connection == connection);
        own.map(|(id, _)| *id).collect()
    }

    fn end(&mut self, id: u64, with_channel: bool) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.deliver = None;
        if with_channel {
            for (at, QueuedPart { part, attempt }) in std::mem::take(&mut subscription.held) {
                self.waiting.insert(at, QueuedPart { part, attempt: attempt + 1 });
            }
        }
        self.prune();
    }

    fn return_taken(&mut self, connection: u64) {
        let own = self.taken.iter().filter(|(_, (of, ..))| *of == connection);
        for at in own.map(|(at, _)| *at).collect::<Vec<_>>() {
            if let Some((_, part, reason)) = self.taken.remove(&at) {
                self.dead.insert(at, (part, reason));
            }
        }
    }

    /// Removes subscriptions that neither take nor hold parts.
    fn prune(&mut self) {
        self.subscriptions.retain(|_, one| one.deliver.is_some() || !one.held.is_empty());
    }
}
