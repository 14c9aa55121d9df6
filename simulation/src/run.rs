//! Runs seeds, and shrinks plans that break a promise.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::clients::Client;
use crate::options::Options;
use crate::plan::Plan;
use crate::promises::Counts;
use crate::world::World;
use crate::{faults, healing, operators};

/// The result of a run.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// The broken promises.
    pub violations: Vec<String>,
    /// All events, if they were recorded.
    pub lines: Vec<String>,
    /// How long the world took to heal.
    pub healed: Option<Duration>,
    /// The amount of work.
    pub counts: Counts,
}

impl RunOutcome {
    /// Returns whether every promise was kept.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs a seed.
#[must_use]
pub fn seed(seed: u64, options: Options) -> RunOutcome {
    plan(&Plan::of(seed), options, false)
}

/// Runs a plan, and records its events if wanted.
///
/// # Panics
/// The system gives no runtime.
#[must_use]
pub fn plan(plan: &Plan, options: Options, written: bool) -> RunOutcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    common::simulated::inline_after(Some(plan.load));
    common::simulated::seed_all(plan.seed);
    runtime.block_on(live(plan.clone(), options, written))
}

async fn live(plan: Plan, options: Options, written: bool) -> RunOutcome {
    let world = World::begin(plan, options, written);
    let mut clients = JoinSet::new();
    for number in 0..world.plan.requests.len() {
        clients.spawn(Client::new(&world, number).run());
    }
    let mut others = JoinSet::new();
    for order in &world.plan.orders {
        others.spawn(operators::order(world.clone(), order.clone()));
    }
    for fault in &world.plan.faults {
        others.spawn(faults::happen(world.clone(), fault.clone()));
    }
    let healed = healing::healed(&world).await;
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            world.trace.violation(&format!("a client failed: {error}"));
        }
    }
    if !world.promises.excuses_blame() {
        for (part, reason) in world.broker.dead() {
            let job = world.trace.job(part.job);
            world.trace.violation(&format!("{job}/{} was given up: {reason}", part.index));
        }
    }
    RunOutcome {
        violations: world.trace.violations(),
        lines: world.trace.lines(),
        healed,
        counts: world.promises.counts(),
    }
}

/// Returns the smallest plan that still breaks a promise, found by removing events from this one.
#[must_use]
pub fn smaller(plan: &Plan, options: Options) -> Plan {
    let mut smallest = plan.clone();
    loop {
        let before = size(&smallest);
        smallest = without(smallest, options, |plan| &mut plan.faults);
        smallest = without(smallest, options, |plan| &mut plan.requests);
        smallest = without(smallest, options, |plan| &mut plan.orders);
        if size(&smallest) == before {
            return smallest;
        }
    }
}

fn size(plan: &Plan) -> usize {
    plan.faults.len() + plan.requests.len() + plan.orders.len()
}

/// Removes unneeded items from a list: halves first, then smaller pieces.
fn without<T: Clone>(plan: Plan, options: Options, list: impl Fn(&mut Plan) -> &mut Vec<T>) -> Plan {
    let mut smallest = plan;
    let mut at_once = list(&mut smallest).len().div_ceil(2);
    while at_once > 0 {
        let mut from = 0;
        while from < list(&mut smallest).len() {
            let mut candidate = smallest.clone();
            let items = list(&mut candidate);
            items.drain(from..(from + at_once).min(items.len()));
            if self::plan(&candidate, options, false).is_sound() {
                from += at_once;
            } else {
                smallest = candidate;
            }
        }
        at_once = if at_once == 1 { 0 } else { at_once.div_ceil(2) };
    }
    smallest
}

/// Returns a report on a plan that broke a promise.
#[must_use]
pub fn report(found: &Plan, options: Options) -> String {
    let plan = smaller(found, options);
    let outcome = self::plan(&plan, options, true);
    let mut text = format!("seed {} breaks a promise, also with nothing but this:\n", found.seed);
    for line in plan.faults.iter().map(ToString::to_string) {
        text += &format!("  fault   {line}\n");
    }
    for line in plan.orders.iter().map(ToString::to_string) {
        text += &format!("  order   {line}\n");
    }
    for line in plan.requests.iter().map(ToString::to_string) {
        text += &format!("  request {line}\n");
    }
    text += &format!("{} API processes, {} workers; what happened:\n", plan.apis, plan.workers);
    for line in &outcome.lines {
        text += &format!("  {line}\n");
    }
    text + &format!("again: SEED={} cargo run -p classifier-simulation\n", found.seed)
}
