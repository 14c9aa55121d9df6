//! What happens in a run, drawn from its seed: faults, requests and orders.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// Models of the world, by their number.
pub const MODELS: [&str; 3] = ["red", "green", "blue"];

/// Everything that is decided before a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// API processes at a time.
    pub apis: usize,
    /// Workers at a time.
    pub workers: usize,
    /// Parts that may wait.
    pub max_parts: u32,
    /// How long a model loads.
    pub load: Duration,
    /// What goes wrong, by its begin.
    pub faults: Vec<Fault>,
    /// What clients ask for.
    pub requests: Vec<Request>,
    /// What operators order.
    pub orders: Vec<Order>,
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone)]
pub struct Fault {
    /// When, in milliseconds.
    pub at: u64,
    /// How long.
    pub span: Duration,
    /// What.
    pub kind: Kind,
}

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// This API process.
    Api(usize),
    /// This worker.
    Worker(usize),
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// RabbitMQ.
    Broker,
    /// Redis.
    Store,
}

/// Which way of a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Requests are lost.
    Requests,
    /// Replies are lost.
    Replies,
    /// Both are.
    Both,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A server is down, and comes back as it was.
    Restart(Server),
    /// The store is down, and comes back as it was so long before.
    Restored(Duration),
    /// The store is down, and comes back empty.
    Emptied,
    /// The store is full: it reads and does not write.
    StoreRefuses,
    /// The store that everybody is connected to became a replica of another.
    Failover,
    /// The broker is short of memory.
    Alarm,
    /// The broker takes no part, since its queue has no quorum.
    Nacks,
    /// The queue and all in it is deleted.
    QueueDeleted,
    /// Nothing passes between a process and a server.
    Link(Who, Server, Cut),
    /// Requests and replies of a process are lost, and requests are doubled.
    Lossy(Who),
    /// Requests and replies of a process are late.
    Late(Who),
    /// The broker ends a worker's stream of parts; whether its connection ends with it.
    StreamEnds(usize, bool),
    /// A process stands still.
    Frozen(Who),
    /// A process dies; another takes its place.
    Killed(Who),
    /// The hosts' clocks are ahead of the servers' by so many seconds, or behind.
    Clocks(i64),
}

/// A prediction that a client asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// When, in milliseconds.
    pub at: u64,
    /// Of which API process.
    pub api: usize,
    /// Its images.
    pub images: Vec<u8>,
    /// How long it waits, in seconds; 0 for not at all.
    pub wait: u64,
    /// Its idempotency key; with one it is sent again through another process.
    pub key: Option<u64>,
    /// Given up after this long.
    pub cancel: Option<Duration>,
    /// A model by name.
    pub model: Option<usize>,
}

/// What an operator does.
#[derive(Debug, Clone)]
pub struct Order {
    /// When, in milliseconds.
    pub at: u64,
    /// Through which API process.
    pub api: usize,
    /// What.
    pub what: What,
    /// How long the operator waits before hanging up.
    pub patience: Duration,
}

/// What an operator can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A swap to this model.
    Swap(usize),
    /// Back to the model before.
    Rollback,
    /// Dead letters queued again.
    Replay,
}

/// The last moment at which a fault begins, in milliseconds.
const FAULTS_UNTIL: u64 = 22_000;

impl Plan {
    /// The plan of a seed.
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
        // Nearly always a model is active before anything happens.
        if random.percent(90) {
            let what = What::Swap(random.index(MODELS.len()));
            orders.push(Order { at: 50, api: 0, what, patience: Duration::from_secs(20) });
        }
        orders.sort_by_key(|order| order.at);
        let load = random.span(1..1500);
        Self { seed, apis, workers, max_parts, load, faults, requests, orders }
    }

    /// When the last fault is over, in milliseconds.
    #[must_use]
    pub fn calm_from(&self) -> u64 {
        self.faults.iter().map(Fault::over).max().unwrap_or(0).max(2000)
    }
}

const KINDS: u64 = 15;

impl Kind {
    /// What a summary calls it.
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
    /// When it is over, in milliseconds.
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
