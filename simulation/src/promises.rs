//! What must hold, and which failures a fault excuses.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fleet::{FleetState, Phase};
use common::ids::JobId;
use common::messages::{JobRecord, PinnedModel};
use uuid::Uuid;

use crate::link::lock;
use crate::plan::{Fault, Kind, MODELS, Plan, Server, What, Who};
use crate::trace::Trace;

/// Ids of images from here on belong to requests for a model by name.
pub const BY_NAME: i64 = 1000;

/// How long after a fault its effects may last.
const AFTERMATH: u64 = 12_000;

/// A job completes once half of the workers and the servers were free of faults for this long.
const ENOUGH: u64 = 20_000;

/// How long after it was sent an order may take effect, in milliseconds.
const ORDER_LIMIT: u64 = 15_000;

/// Records promises, and reports broken ones.
pub struct Promises {
    plan: Arc<Plan>,
    trace: Arc<Trace>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Models that jobs are pinned to, and when the jobs were accepted.
    pinned: HashMap<JobId, (PinnedModel, u64)>,
    rollouts: HashSet<Uuid>,
    /// When which model became active.
    commits: Vec<(u64, String)>,
    /// When an order was sent, and which.
    orders: Vec<(u64, What)>,
    counts: Counts,
}

/// The amount of work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Jobs that the store accepted.
    pub jobs: u64,
    /// Images in answers.
    pub images: u64,
    /// Swaps that became active.
    pub commits: u64,
    /// Error answers.
    pub refusals: u64,
}

impl Promises {
    /// Creates it for this plan.
    #[must_use]
    pub fn new(plan: Arc<Plan>, trace: Arc<Trace>) -> Arc<Self> {
        Arc::new(Self { plan, trace, known: Mutex::default() })
    }

    /// Returns the amount of work so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.known).counts
    }

    /// Changes the counts.
    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut lock(&self.known).counts);
    }

    /// Notes that the store accepted a job while this model was active: it must be the job's, unless another was
    /// requested by name.
    pub fn job_put(&self, record: &JobRecord, active: Option<&PinnedModel>) {
        {
            let mut known = lock(&self.known);
            known.pinned.insert(record.id, (record.model.clone(), self.trace.elapsed()));
            known.counts.jobs += 1;
        }
        let by_name = record.image_ids.first().is_some_and(|id| *id >= BY_NAME);
        if !by_name && active != Some(&record.model) {
            let active = active.map(|model| format!("{} of {}", model.name, model.generation));
            let what = format!(
                "{} was accepted for model {} of {} while {active:?} was active",
                self.trace.job(record.id),
                record.model.name,
                record.model.generation
            );
            self.trace.violation(&what);
        }
    }

    /// Returns the model that a job was accepted for.
    #[must_use]
    pub fn model_of(&self, job: JobId) -> Option<PinnedModel> {
        lock(&self.known).pinned.get(&job).map(|(model, _)| model.clone())
    }

    /// Returns when the store accepted a job.
    #[must_use]
    pub fn accepted_at(&self, job: JobId) -> Option<u64> {
        lock(&self.known).pinned.get(&job).map(|(_, at)| *at)
    }

    /// Notes that the fleet's state was replaced.
    pub fn fleet_replaced(&self, before: &FleetState, next: &FleetState) {
        let Some(rollout) = &next.rollout else { return };
        let now = self.trace.elapsed();
        let (is_new, in_time) = {
            let mut known = lock(&self.known);
            let is_new = known.rollouts.insert(rollout.coordinator) && rollout.phase == Phase::Preparing;
            if rollout.phase == Phase::Converging && before.active != next.active {
                known.commits.push((now, rollout.target.name.to_string()));
                known.counts.commits += 1;
            }
            let asks = |what: &What| match what {
                What::Swap(model) => rollout.target.name.as_str() == MODELS[*model],
                What::Rollback => true,
                What::Replay => false,
            };
            let in_time = known.orders.iter().any(|(sent, what)| now <= sent + ORDER_LIMIT && asks(what));
            (is_new, in_time)
        };
        if is_new && !in_time {
            let target = &rollout.target.name;
            self.trace.violation(&format!("a swap to {target} began long after it was ordered"));
        }
    }

    /// Notes that an order is sent.
    pub fn ordered(&self, what: What) {
        let now = self.trace.elapsed();
        lock(&self.known).orders.push((now, what));
    }

    /// Returns whether this model became active at this moment or later.
    #[must_use]
    pub fn was_committed_since(&self, moment: u64, model: &str) -> bool {
        lock(&self.known).commits.iter().any(|(at, name)| *at >= moment && name == model)
    }

    /// Returns whether a fault excuses that something failed between these moments.
    #[must_use]
    pub fn excuses_failure(&self, from: u64, to: u64) -> bool {
        // Wrong clocks excuse nothing.
        let harms = |fault: &&Fault| !matches!(fault.kind, Kind::Clocks(_));
        self.plan.faults.iter().filter(harms).any(|fault| meets(fault, from, to, AFTERMATH))
    }

    /// Returns whether the store lost something between these moments.
    #[must_use]
    pub fn forgot(&self, from: u64, to: u64) -> bool {
        self.any(from, to, |kind| matches!(kind, Kind::Restored(_) | Kind::Emptied))
    }

    /// Returns whether a process was frozen or killed between these moments.
    #[must_use]
    pub fn was_still(&self, from: u64, to: u64) -> bool {
        self.any(from, to, |kind| matches!(kind, Kind::Frozen(_) | Kind::Killed(_)))
    }

    /// Returns whether so many processes were killed that an image may be blamed for it.
    #[must_use]
    pub fn excuses_blame(&self) -> bool {
        let deadly = |fault: &&Fault| match fault.kind {
            Kind::Killed(Who::Worker(_)) => true,
            // The broker considers a silent process dead.
            Kind::Frozen(Who::Worker(_)) | Kind::Link(Who::Worker(_), Server::Broker, _) => {
                fault.span >= Duration::from_secs(10)
            }
            Kind::Killed(_)
            | Kind::Frozen(_)
            | Kind::Link(..)
            | Kind::Restart(_)
            | Kind::Restored(_)
            | Kind::Emptied
            | Kind::StoreRefuses
            | Kind::Failover
            | Kind::Alarm
            | Kind::Nacks
            | Kind::QueueDeleted
            | Kind::Lossy(_)
            | Kind::Late(_)
            | Kind::StreamEnds(..)
            | Kind::Clocks(_) => false,
        };
        self.plan.faults.iter().filter(deadly).count() >= 3
    }

    /// Returns whether faults excuse that a job, accepted at this moment, missed its deadline at that one.
    #[must_use]
    pub fn excuses_deadline(&self, accepted: u64, deadline: u64) -> bool {
        let lost = |kind: &Kind| matches!(kind, Kind::Restored(_) | Kind::Emptied | Kind::QueueDeleted);
        if self.any(accepted, deadline, lost) {
            return true;
        }
        // A part that most workers keep returning seldom reaches a healthy one.
        let enough = |worker: &usize| self.longest_calm(accepted, deadline, *worker) >= ENOUGH;
        2 * (0..self.plan.workers).filter(enough).count() < self.plan.workers
    }

    /// Returns the longest time between these moments in which nothing kept this worker from working.
    fn longest_calm(&self, from: u64, to: u64, worker: usize) -> u64 {
        let mut hinders: Vec<(u64, u64)> = self
            .plan
            .faults
            .iter()
            .filter(|fault| hinders(fault.kind, worker))
            .map(|fault| (fault.at, fault.over() + AFTERMATH))
            .collect();
        hinders.sort_unstable();
        let (mut calm, mut since) = (0, from);
        for (begin, end) in hinders {
            calm = calm.max(begin.min(to).saturating_sub(since));
            since = since.max(end);
        }
        calm.max(to.saturating_sub(since))
    }

    fn any(&self, from: u64, to: u64, is: impl Fn(&Kind) -> bool) -> bool {
        self.plan.faults.iter().any(|fault| is(&fault.kind) && meets(fault, from, to, 1000))
    }
}

fn meets(fault: &Fault, from: u64, to: u64, after: u64) -> bool {
    fault.at <= to && from <= fault.over() + after
}

fn hinders(kind: Kind, worker: usize) -> bool {
    let is_this = |who| who == Who::Worker(worker);
    match kind {
        Kind::Restart(_)
        | Kind::Restored(_)
        | Kind::Emptied
        | Kind::StoreRefuses
        | Kind::Failover
        | Kind::QueueDeleted => true,
        Kind::Link(who, ..) | Kind::Lossy(who) | Kind::Late(who) | Kind::Frozen(who) | Kind::Killed(who) => {
            is_this(who)
        }
        Kind::StreamEnds(one, _) => one == worker,
        Kind::Alarm | Kind::Nacks | Kind::Clocks(_) => false,
    }
}
