//! Random interleavings: coordinators, sweepers and workers that act on stale reads, crash, freeze, fail, and lose
//! races.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::fleet::{LoadedModel, Preparation};
use crate::ids::Revision;

const WORKERS: usize = 3;
const COORDINATORS: usize = 3;
const MODELS: [&str; 3] = ["red", "green", "blue"];

/// One event.
#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    /// A coordinator orders a model; it reads and writes at once.
    Begin(usize, usize),
    /// A coordinator reads the document and the reports.
    Look(usize),
    /// It decides from its last read, by its clock, and tries to replace the document.
    Act(usize),
    Sweep,
    /// A worker renews its report, with this state of the running rollout.
    Report(usize, Say),
    /// A worker follows the active model.
    Follow(usize),
    Die(usize),
}

#[derive(Debug, Clone, Copy)]
enum Say {
    Starting,
    Stopping,
    Loading,
    Prepared,
    Failed,
}

fn event() -> impl Strategy<Value = Event> {
    let say = prop_oneof![
        1 => Just(Say::Starting),
        1 => Just(Say::Stopping),
        1 => Just(Say::Loading),
        3 => Just(Say::Prepared),
        1 => Just(Say::Failed),
    ];
    prop_oneof![
        3 => prop_oneof![1_u64..2_000, 1_u64..60_000].prop_map(Event::Pass),
        2 => (0..COORDINATORS, 0..MODELS.len()).prop_map(|(c, m)| Event::Begin(c, m)),
        4 => (0..COORDINATORS).prop_map(Event::Look),
        4 => (0..COORDINATORS).prop_map(Event::Act),
        1 => Just(Event::Sweep),
        5 => (0..WORKERS, say).prop_map(|(w, s)| Event::Report(w, s)),
        3 => (0..WORKERS).prop_map(Event::Follow),
        1 => (0..WORKERS).prop_map(Event::Die),
    ]
}

/// The store and all actors.
#[derive(Default)]
struct World {
    now: u64,
    revision: Revision,
    state: FleetState,
    reports: BTreeMap<usize, WorkerReport>,
    coordinators: [Option<Uuid>; COORDINATORS],
    snapshots: [Option<(Revision, FleetState, Vec<WorkerReport>)>; COORDINATORS],
    ids: u128,
}

impl World {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000 + self.now)
    }

    fn replace(&mut self, revision: Revision, next: FleetState) {
        if self.revision == revision {
            check_transition(&self.state, &next);
            self.state = next;
            self.revision = Revision::random();
        }
    }

    fn report(&mut self, worker: usize, say: Say) {
        let (state, own) = match say {
            Say::Starting => (WorkerState::Starting, None),
            Say::Stopping => (WorkerState::Stopping, None),
            Say::Loading => (WorkerState::Ready, Some(PreparationState::Loading)),
            Say::Prepared => (WorkerState::Ready, Some(PreparationState::Prepared)),
            Say::Failed => (WorkerState::Ready, Some(PreparationState::Failed { reason: "no".to_owned() })),
        };
        let before = self.reports.get(&worker);
        let generation = before.and_then(|report| report.generation);
        let loaded = before.map_or_else(Vec::new, |report| report.loaded.clone());
        let preparation =
            own.map(|state| Preparation { generation: self.state.generation, rollout: None, state });
        let report = WorkerReport {
            id: WorkerId::from(format!("worker {worker}")),
            host: String::new(),
            state,
            device: String::new(),
            generation,
            loaded,
            preparation,
            problem: None,
            found: None,
            clock_offset_ms: None,
            images_per_second: 0.0,
            parts_per_second: 0.0,
            images_total: 0,
            started_at: Timestamp(0),
            reported_at: self.now(),
        };
        self.reports.insert(worker, report);
    }

    fn online(&self) -> Vec<WorkerReport> {
        let fresh = |report: &&WorkerReport| self.now().since(report.reported_at) < Duration::from_secs(4);
        self.reports.values().filter(fresh).cloned().collect()
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Pass(milliseconds) => self.now += milliseconds,
            Event::Begin(coordinator, model) => {
                self.ids += 1;
                let id = Uuid::from_u128(self.ids);
                let target = Target {
                    name: ModelName::parse(MODELS[model]).unwrap(),
                    version: ModelVersion::from_digest([u8::try_from(model).unwrap(); 32]),
                };
                if let Ok(next) = begin(&self.state, target, id, self.now(), RolloutTiming::default()) {
                    self.replace(self.revision, next);
                    self.coordinators[coordinator] = Some(id);
                }
            }
            Event::Look(coordinator) => {
                let seen = (self.revision, self.state.clone(), self.online());
                self.snapshots[coordinator] = Some(seen);
            }
            Event::Act(coordinator) => {
                let Some((revision, state, reports)) = self.snapshots[coordinator].take() else { return };
                let Some(id) = self.coordinators[coordinator] else { return };
                match step(&state, &reports, self.now(), Actor::Coordinator(id)) {
                    Decision::Replace(next) => self.replace(revision, *next),
                    Decision::Wait | Decision::Over => {}
                }
            }
            Event::Sweep => self.sweep(),
            Event::Report(worker, say) => self.report(worker, say),
            Event::Follow(worker) => {
                let (now, active) = (self.now(), self.state.active.clone());
                if let Some(report) = self.reports.get_mut(&worker) {
                    report.loaded = active.iter().map(LoadedModel::active).collect();
                    report.generation = active.map(|model| model.generation);
                    report.reported_at = now;
                }
            }
            Event::Die(worker) => drop(self.reports.remove(&worker)),
        }
    }

    fn sweep(&mut self) {
        match step(&self.state, &self.online(), self.now(), Actor::Bystander) {
            Decision::Replace(next) => self.replace(self.revision, *next),
            Decision::Wait | Decision::Over => {}
        }
    }
}

/// Invariants of a document and its successor.
fn check_transition(before: &FleetState, after: &FleetState) {
    assert!(after.generation >= before.generation, "a generation went backwards");
    let generation = |state: &FleetState| state.active.as_ref().map(|model| model.generation);
    assert!(generation(after) >= generation(before), "the active model went back without a rollout");

    let rollout = after.rollout.as_ref().expect("a document that was replaced has a rollout");
    let committed = matches!(rollout.phase, Phase::Converging | Phase::Done);
    let was_committed = before.rollout_of(rollout.generation).is_some_and(|r| r.committed_at.is_some());
    if committed && !was_committed {
        // The active model changes together with the phase, in one replacement.
        assert_eq!(after.active.as_ref(), Some(&rollout.target));
        assert!(before.rollout.as_ref().is_some_and(|r| r.phase == Phase::Preparing));
    } else {
        assert_eq!((&after.active, &after.previous), (&before.active, &before.previous));
    }
    assert_eq!(committed, rollout.committed_at.is_some());
    assert_eq!(rollout.is_ended(), rollout.ended_at.is_some());

    // One rollout at a time: another begins only after the last has ended, and an end is final.
    if let Some(last) = &before.rollout {
        if last.generation != rollout.generation {
            assert!(last.is_ended());
            assert_eq!(rollout.generation, last.generation.next());
        } else {
            assert!(!last.is_ended(), "an ended rollout was changed");
        }
    }
    assert!(after.history.iter().all(Rollout::is_ended));
    assert!(after.history.len() <= FleetState::HISTORY);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_exactly_one_model_is_active_and_every_rollout_ends(
        events in proptest::collection::vec(event(), 1..120)
    ) {
        let mut world = World::default();
        for event in &events {
            world.happen(event);
        }
        // All but one sweeper die: the lease and the convergence time out.
        world.now += 200_000;
        world.sweep();
        prop_assert!(world.state.rollout.as_ref().is_none_or(Rollout::is_ended));
        let active = world.state.active.as_ref().map(|model| model.generation);
        let committed = world.state.rollout.iter().chain(&world.state.history);
        let last = committed.filter(|rollout| rollout.committed_at.is_some()).map(|r| r.generation).max();
        // History is bounded; forgotten rollouts cannot be compared.
        prop_assert!(last.is_none() || active == last);
    }
}

/// The simulation would prove nothing if its rollouts never progressed.
#[test]
fn the_simulation_reaches_every_phase() {
    let mut world = World::default();
    let script = [
        Event::Report(0, Say::Loading),
        Event::Begin(0, 0),
        Event::Report(0, Say::Prepared),
        Event::Look(0),
        Event::Act(0),
    ];
    script.iter().for_each(|event| world.happen(event));
    assert_eq!(world.state.rollout.as_ref().unwrap().phase, Phase::Converging);
    [Event::Follow(0), Event::Look(0), Event::Act(0)].iter().for_each(|event| world.happen(event));
    assert_eq!(world.state.rollout.as_ref().unwrap().phase, Phase::Done);
    [Event::Begin(1, 1), Event::Report(0, Say::Failed), Event::Look(1), Event::Act(1)]
        .iter()
        .for_each(|event| world.happen(event));
    assert!(matches!(world.state.rollout.as_ref().unwrap().phase, Phase::RolledBack { .. }));
}
