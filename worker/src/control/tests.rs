//! The worker's decisions on the fleet's state, without loading anything.

use std::cell::RefCell;

use common::fleet::{FleetState, PreparationState, Rollout, WorkerState};
use common::ids::{Generation, ModelName, ModelVersion, RolloutId};
use common::messages::PinnedModel;
use common::rollout::{Actor, Decision, RolloutTiming, Target, begin, step};
use tokio::time::advance;
use uuid::Uuid;

use super::duty::{Duty, Load, Purpose};
use super::*;
use crate::models::ModelsError;

/// A worker whose memory is a list of names.
struct Bench {
    duty: Duty,
    memory: RefCell<Vec<String>>,
}

impl Bench {
    fn new() -> Self {
        Self { duty: Duty::new(ControlTiming::default()), memory: RefCell::default() }
    }

    fn follow(&mut self, fleet: &FleetState) -> Vec<(String, Purpose)> {
        let holds = |model: &PinnedModel| self.memory.borrow().contains(&model.name.to_string());
        let loads = self.duty.follow(fleet, holds);
        loads.into_iter().map(|load| (load.model.name.to_string(), load.purpose)).collect()
    }

    fn fill(&self, name: &str) {
        self.memory.borrow_mut().push(name.to_owned());
    }

    /// Announces and asks in one go.
    fn may_take_jobs(&mut self) -> bool {
        let facts = self.duty.facts(false);
        self.duty.may_take_jobs(&facts)
    }

    fn preparation(&self) -> Option<PreparationState> {
        self.duty.facts(false).preparation.map(|own| own.state)
    }
}

fn pinned(name: &str, generation: u64) -> PinnedModel {
    let version = ModelVersion::from_digest([1; 32]);
    PinnedModel { name: ModelName::parse(name).unwrap(), version, generation: Generation(generation) }
}

fn active(name: &str, generation: u64) -> FleetState {
    FleetState {
        generation: Generation(generation),
        active: Some(pinned(name, generation)),
        ..FleetState::default()
    }
}

fn preparing(fleet: &FleetState, name: &str) -> FleetState {
    let target =
        Target { name: ModelName::parse(name).unwrap(), version: ModelVersion::from_digest([1; 32]) };
    begin(fleet, target, Uuid::nil(), Timestamp(0), RolloutTiming::default()).unwrap()
}

fn committed(fleet: &FleetState) -> FleetState {
    match step(fleet, &[], Timestamp(5_000), Actor::Coordinator(Uuid::nil())) {
        Decision::Replace(next) => *next,
        other @ (Decision::Wait | Decision::Over) => panic!("{other:?}"),
    }
}

fn unavailable() -> Result<(), ModelsError> {
    Err(ModelsError::Unavailable("disk on fire".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn without_an_active_model_a_worker_is_ready_for_models_by_name() {
    let mut bench = Bench::new();
    assert_eq!(bench.duty.facts(false).state, WorkerState::Starting);
    assert_eq!(bench.follow(&FleetState::default()), []);
    assert_eq!(
        (bench.duty.facts(false).state, bench.duty.facts(false).generation),
        (WorkerState::Ready, None)
    );
    assert!(bench.may_take_jobs());
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_no_jobs_before_it_has_the_active_model() {
    let mut bench = Bench::new();
    let fleet = active("a", 4);
    assert_eq!(bench.follow(&fleet), [("a".to_owned(), Purpose::Active)]);
    assert_eq!(bench.follow(&fleet), [], "one load is under way");
    assert!(!bench.may_take_jobs());
    bench.fill("a");
    assert_eq!(bench.follow(&fleet), []);
    assert!(bench.may_take_jobs());
    assert_eq!(bench.duty.facts(false).generation, Some(Generation(4)));

    // A commit that it was not prepared for: it starts over.
    assert_eq!(bench.follow(&active("b", 5)), [("b".to_owned(), Purpose::Active)]);
    assert!(!bench.may_take_jobs());
    assert_eq!(bench.duty.facts(false).state, WorkerState::Starting);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_ready_for_the_fleet_before_it_takes_its_first_job() {
    let mut bench = Bench::new();
    let starting = bench.duty.facts(false);
    bench.fill("a");
    bench.follow(&active("a", 1));
    assert!(!bench.duty.may_take_jobs(&starting), "nobody was told yet that it is ready");
    let ready = bench.duty.facts(false);
    assert!(bench.duty.may_take_jobs(&ready));
}

#[tokio::test(start_paused = true)]
async fn an_active_model_that_cannot_be_loaded_is_tried_again_ever_more_rarely() {
    let mut bench = Bench::new();
    let fleet = active("a", 1);
    let load = Load { model: pinned("a", 1), purpose: Purpose::Active, rollout: None };
    for longest in [1_000, 2_000, 4_000, 8_000, 15_000, 15_000] {
        assert_eq!(bench.follow(&fleet).len(), 1);
        bench.duty.ended(&load, &unavailable());
        let problem = bench.duty.facts(false).problem.unwrap();
        assert!(problem.ends_with("disk on fire"), "{problem}");
        advance(Duration::from_millis(longest / 2 - 1)).await;
        assert_eq!(bench.follow(&fleet), []);
        advance(Duration::from_millis(longest / 2 + 1)).await;
    }
    bench.fill("a");
    bench.follow(&fleet);
    let facts = bench.duty.facts(false);
    assert_eq!((facts.state, facts.problem), (WorkerState::Ready, None));
}

#[tokio::test(start_paused = true)]
async fn a_loaded_model_that_is_gone_again_is_loaded_again() {
    let mut bench = Bench::new();
    bench.follow(&active("a", 1));
    bench.duty.ended(&Load { model: pinned("a", 1), purpose: Purpose::Active, rollout: None }, &Ok(()));
    assert_eq!(bench.follow(&active("a", 1)), [("a".to_owned(), Purpose::Active)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_answers_from_the_old_model_while_it_prepares_and_then_follows() {
    let mut bench = Bench::new();
    bench.fill("old");
    bench.follow(&active("old", 1));
    assert!(bench.may_take_jobs());

    let rollout = preparing(&active("old", 1), "new");
    assert_eq!(bench.follow(&rollout), [("new".to_owned(), Purpose::Preparation)]);
    assert_eq!(bench.preparation(), Some(PreparationState::Loading));
    assert!(bench.may_take_jobs());
    bench.fill("new");
    assert_eq!(bench.follow(&rollout), []);
    assert_eq!(bench.preparation(), Some(PreparationState::Prepared));

    assert_eq!(bench.follow(&committed(&rollout)), []);
    assert!(bench.may_take_jobs());
    assert_eq!((bench.duty.facts(false).generation, bench.preparation()), (Some(Generation(2)), None));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_joins_during_a_preparation_prepares_before_it_takes_jobs() {
    let rollout = preparing(&active("old", 1), "new");
    let mut late = Bench::new();
    let mut frozen = Bench::new();
    for bench in [&mut late, &mut frozen] {
        bench.fill("old");
    }
    frozen.follow(&active("old", 1));
    assert!(frozen.may_take_jobs());
    frozen.duty.was_forgotten();

    for mut bench in [late, frozen] {
        bench.follow(&rollout);
        assert_eq!(bench.duty.facts(false).state, WorkerState::Ready, "so that its coordinator counts it");
        assert!(!bench.may_take_jobs());
        bench.fill("new");
        bench.follow(&rollout);
        assert!(bench.may_take_jobs());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_preparation_is_reported_for_its_own_rollout_only() {
    let mut bench = Bench::new();
    bench.fill("old");
    let rollout = preparing(&active("old", 1), "new");
    bench.follow(&rollout);
    let load = |rollout| Load { model: pinned("new", 2), purpose: Purpose::Preparation, rollout };
    bench.duty.ended(&load(Some(RolloutId(Uuid::from_u128(77)))), &unavailable());
    assert_eq!(bench.preparation(), Some(PreparationState::Loading));
    bench.duty.ended(&load(rollout.rollout.as_ref().map(Rollout::id)), &unavailable());
    assert_eq!(bench.preparation(), Some(PreparationState::Failed { reason: "disk on fire".to_owned() }));
    assert_eq!(bench.follow(&rollout), [], "it is not tried again for the same rollout");

    let problems = vec!["one".to_owned(), "two".to_owned()];
    let unservable = ModelsError::Unservable { name: pinned("new", 2).name, problems: problems.clone() };
    bench.duty.ended(&load(rollout.rollout.as_ref().map(Rollout::id)), &Err(unservable));
    assert_eq!(bench.preparation(), Some(PreparationState::Unservable { problems }));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_says_so_whatever_else_it_is() {
    let mut bench = Bench::new();
    bench.follow(&FleetState::default());
    assert_eq!(bench.duty.facts(true).state, WorkerState::Stopping);
}
