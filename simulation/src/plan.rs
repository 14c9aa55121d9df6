//! The events of a run, drawn from its seed: faults, requests and orders.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// The models, by number.
pub const MODELS: [&str; 3] = ["red", "green", "blue"];

/// All decisions before a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its seed.
    pub seed: u64,
    /// Number of API processes.
    pub apis: usize,
    /// Number of workers.
    pub workers: usize,
    /// Most parts in the queue.
    pub max_parts: u32,
    /// How long loading a model takes.
    pub load: Duration,
    /// The faults, by their begin.
    pub faults: Vec<Fault>,
    /// The clients' requests.
    pub requests: Vec<Request>,
    /// The operators' orders.
    pub orders: Vec<Order>,
}

/// An injected fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its begin, in milliseconds.
    pub at: u64,
    /// Its duration.
    pub span: Duration,
    /// Its kind.
    pub kind: Kind,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This API process.
    Api(usize),
    /// This worker.
    Worker(usize),
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// RabbitMQ.
    Broker,
    /// Redis.
    Store,
}

/// The direction of a link that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Requests are lost.
    Requests,
    /// Replies are lost.
    Replies,
    /// Both are lost.
    Both,
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A server is down, and comes back unchanged.
    Restart(Server),
    /// The store is down, and comes back with its state from this long before.
    Restored(Duration),
    /// The store is down, and comes back empty.
    Emptied,
    /// The store is full: it reads and does not write.
    StoreRefuses,
    /// The connected store became a replica of another one.
    Failover,
    /// The broker is short of memory.
    Alarm,
    /// The broker rejects parts, since its queue has no quorum.
    Nacks,
    /// The queue is deleted with its content.
    QueueDeleted,
    /// A link between a process and a server is cut.
    Link(Who, Server, Cut),
    /// Requests and replies of a process are lost, and requests are duplicated.
    Lossy(Who),
    /// Requests and replies of a process are late.
    Late(Who),
    /// The broker ends a worker's subscription, perhaps with its connection.
    StreamEnds(usize, bool),
    /// A process is frozen.
    Frozen(Who),
    /// A process is killed; another replaces it.
    Killed(Who),
    /// The hosts' clocks are this many seconds ahead of the servers' clocks, or behind.
    Clocks(i64),
}

/// A client's request for a prediction.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its time, in milliseconds.
    pub at: u64,
    /// The API process.
    pub api: usize,
    /// Number of images.
    pub images: Vec<u8>,
    /// How long it waits, in seconds; 0 for `respond-async`.
    pub wait: u64,
    /// Its idempotency key; with one it is repeated through another process.
    pub key: Option<u64>,
    /// It is deleted after this time.
    pub cancel: Option<Duration>,
    /// The model, if requested by name.
    pub model: Option<usize>,
}

/// An operator's order.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its time, in milliseconds.
    pub at: u64,
    /// The API process.
    pub api: usize,
    /// The order.
    pub what: What,
    /// How long the operator waits before disconnecting.
    pub patience: Duration,
}

/// The orders of operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A swap to this model.
    Swap(usize),
    /// A rollback.
    Rollback,
    /// A replay of dead letters.
    Replay,
}

/// The last begin of a fault, in milliseconds.
const FAULTS_UNTIL: u64 = 22_000;

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::new(seed, 1);
        let (apis, workers) = (1 + random.index(2), 1 + random.index(3));
        let kinds: Vec<u64> = (0..1 + random.below(4)).map(|_| random.below(KINDS)).collect();
        let mut faults: Vec<Fault> = (0..1 + random.below(6))
            .map(|_| {
                let kind = *random.one(&kinds);
                Fault::draw(kind, apis, workers, random)
            })
            .collect();
        faults.sort_by_key(|fault| fault.at);
        let max_parts = if random.percent(15) { 4 } else { 200 };
        let requests = (0..8 + random.below(25)).map(|_| Request::draw(apis, random)).collect();
        let mut orders: Vec<Order> = (0..random.below(6)).map(|_| Order::draw(apis, random)).collect();
        // Usually a model is activated first.
        if random.percent(90) {
            let what = What::Swap(random.index(MODELS.len()));
            orders.push(Order { at: 50, api: 0, what, patience: Duration::from_secs(20) });
        }
        orders.sort_by_key(|order| order.at);
        let load = random.span(1..1500);
        Self { seed, apis, workers, max_parts, load, faults, requests, orders }
    }

    /// Returns the end of the last fault, in milliseconds.
    #[must_use]
    pub fn calm_from(&self) -> u64 {
        self.faults.iter().map(Fault::over).max().unwrap_or(0).max(2000)
    }
}

const KINDS: u64 = 15;

impl Kind {
    /// Returns its name in a summary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart(_) => "servers restarted",
            Self::Restored(_) => "stores restored",
            Self::Emptied => "stores emptied",
            Self::StoreRefuses => "stores full",
            Self::Failover => "failovers",
            Self::Alarm => "alarms",
            Self::Nacks => "nacks",
            Self::QueueDeleted => "queues deleted",
            Self::Link(..) => "links cut",
            Self::Lossy(_) => "links lossy",
            Self::Late(_) => "links late",
            Self::StreamEnds(..) => "streams ended",
            Self::Frozen(_) => "processes frozen",
            Self::Killed(_) => "processes killed",
            Self::Clocks(_) => "clocks apart",
        }
    }
}

impl Fault {
    /// Returns its end, in milliseconds.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.at + u64::try_from(self.span.as_millis()).unwrap_or(0)
    }

    fn draw(kind: u64, apis: usize, workers: usize, random: &mut Random) -> Self {
        let at = 2500 + random.below(FAULTS_UNTIL);
        let short = random.span(100..12_000);
        let span = if random.percent(15) { random.span(12_000..60_000) } else { short };
        let down = random.span(50..4000);
        let who = if random.percent(50) {
            Who::Api(random.index(apis))
        } else {
            Who::Worker(random.index(workers))
        };
        let server = *random.one(&[Server::Broker, Server::Store]);
        let cut = *random.one(&[Cut::Requests, Cut::Replies, Cut::Both]);
        let (kind, span) = match kind {
            0 => (Kind::Restart(server), down),
            1 => (Kind::Restored(random.span(500..15_000)), down),
            2 => (Kind::Emptied, down),
            3 => (Kind::StoreRefuses, span),
            4 => (Kind::Failover, Duration::from_millis(1)),
            5 => (Kind::Alarm, span),
            6 => (Kind::Nacks, span),
            7 => (Kind::QueueDeleted, Duration::from_millis(1)),
            8 | 9 => (Kind::Link(who, server, cut), span),
            10 => (Kind::Lossy(who), span),
            11 => (Kind::Late(who), span),
            12 => (Kind::StreamEnds(random.index(workers), random.percent(50)), Duration::from_millis(1)),
            13 => (if random.percent(50) { Kind::Frozen(who) } else { Kind::Killed(who) }, short),
            _ => {
                let ahead = i64::try_from(random.below(1200)).unwrap_or(0) - 600;
                (Kind::Clocks(ahead), Duration::from_millis(1))
            }
        };
        Self { at, span, kind }
    }
}

impl Request {
    fn draw(apis: usize, random: &mut Random) -> Self {
        let most = if random.percent(20) { 9 } else { 2 };
        let images =
            (0..1 + random.below(most)).map(|_| u8::try_from(random.below(10)).unwrap_or(0)).collect();
        Self {
            at: 2500 + random.below(FAULTS_UNTIL + 6000),
            api: random.index(apis),
            images,
            wait: *random.one(&[0, 2, 20]),
            key: random.percent(30).then(|| random.number()),
            cancel: random.percent(8).then(|| random.span(0..3000)),
            model: random.percent(8).then(|| random.index(MODELS.len())),
        }
    }
}

impl Order {
    fn draw(apis: usize, random: &mut Random) -> Self {
        let what = match random.below(10) {
            0 => What::Replay,
            1 | 2 => What::Rollback,
            _ => What::Swap(random.index(MODELS.len())),
        };
        Self {
            at: 3000 + random.below(FAULTS_UNTIL + 5000),
            api: random.index(apis),
            what,
            patience: random.span(1000..40_000),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, span, kind } = self;
        write!(f, "{:>4}.{:03} {kind:?} for {span:?}", at / 1000, at % 1000)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, api, what, patience } = self;
        write!(f, "{:>4}.{:03} {what:?} through a{api}, waits {patience:?}", at / 1000, at % 1000)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, api, images, wait, key, cancel, model } = self;
        write!(
            f,
            "{:>4}.{:03} {} images through a{api}, waits {wait} s{}{}{}",
            at / 1000,
            at % 1000,
            images.len(),
            if key.is_some() { ", twice with a key" } else { "" },
            if cancel.is_some() { ", cancelled" } else { "" },
            model.map_or_else(String::new, |model| format!(", for {}", MODELS[model]))
        )
    }
}
