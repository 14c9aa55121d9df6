//! All components of a run.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::broker::server::BrokerServer;
use crate::link::lock;
use crate::options::Options;
use crate::plan::{Plan, Who};
use crate::process::{ApiProcess, Ties, WorkerProcess};
use crate::promises::Promises;
use crate::store::server::StoreServer;
use crate::trace::Trace;

/// Servers and processes.
pub struct World {
    /// The plan.
    pub plan: Arc<Plan>,
    /// How it differs from the real one.
    pub options: Options,
    /// The time and the events.
    pub trace: Arc<Trace>,
    /// The promises.
    pub promises: Arc<Promises>,
    /// The broker.
    pub broker: Arc<BrokerServer>,
    /// The store.
    pub store: Arc<StoreServer>,
    processes: Mutex<Processes>,
    started: AtomicU64,
    /// How far the hosts' clocks are ahead of the servers', in milliseconds.
    ahead: Arc<AtomicI64>,
}

#[derive(Default)]
struct Processes {
    apis: Vec<ApiProcess>,
    workers: Vec<WorkerProcess>,
}

impl World {
    /// Starts the servers and all processes.
    #[must_use]
    pub fn begin(plan: Plan, options: Options, written: bool) -> Arc<Self> {
        let (plan, trace) = (Arc::new(plan), Arc::new(Trace::begin(written)));
        let promises = Promises::new(Arc::clone(&plan), Arc::clone(&trace));
        let ahead = Arc::new(AtomicI64::new(0));
        let (hosts, time) = (Arc::clone(&ahead), Arc::clone(&trace));
        common::simulated::tell(move || time.now().0.saturating_add_signed(hosts.load(Ordering::Relaxed)));
        let world = Arc::new(Self {
            options,
            broker: BrokerServer::new(options, Arc::clone(&trace), plan.max_parts),
            store: StoreServer::new(options, Arc::clone(&trace), Arc::clone(&promises)),
            processes: Mutex::default(),
            started: AtomicU64::new(0),
            ahead,
            plan,
            trace,
            promises,
        });
        let apis: Vec<_> = (0..world.plan.apis).map(|_| ApiProcess::start(&world)).collect();
        let workers: Vec<_> = (0..world.plan.workers).map(|_| WorkerProcess::start(&world)).collect();
        *lock(&world.processes) = Processes { apis, workers };
        world
    }

    /// Returns the number of a new process.
    pub(crate) fn next_process(&self) -> u64 {
        self.started.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the current API process at this position.
    #[must_use]
    pub fn api(&self, index: usize) -> ApiProcess {
        let processes = lock(&self.processes);
        processes.apis[index % processes.apis.len()].clone()
    }

    /// Returns the current worker at this position.
    #[must_use]
    pub fn worker(&self, index: usize) -> WorkerProcess {
        let processes = lock(&self.processes);
        processes.workers[index % processes.workers.len()].clone()
    }

    /// Returns the links of a process.
    #[must_use]
    pub fn ties(&self, who: Who) -> Ties {
        match who {
            Who::Api(index) => self.api(index).ties,
            Who::Worker(index) => self.worker(index).ties,
        }
    }

    /// Returns the links of all processes.
    #[must_use]
    pub fn everybody(&self) -> Vec<Ties> {
        let processes = lock(&self.processes);
        let apis = processes.apis.iter().map(|api| api.ties.clone());
        apis.chain(processes.workers.iter().map(|worker| worker.ties.clone())).collect()
    }

    pub(crate) fn set_api(&self, index: usize, api: ApiProcess) {
        lock(&self.processes).apis[index] = api;
    }

    pub(crate) fn set_worker(&self, index: usize, worker: WorkerProcess) {
        lock(&self.processes).workers[index] = worker;
    }

    /// Sets the hosts' clocks this many seconds ahead of the servers' clocks.
    pub fn set_clocks(&self, seconds: i64) {
        self.ahead.store(seconds * 1000, Ordering::Relaxed);
    }
}
