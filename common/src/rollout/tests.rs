//! Every event in every state.

use std::time::Duration;

use super::*;
use crate::fleet::{LoadedModel, Preparation};
use crate::ids::Revision;

const START: Timestamp = Timestamp(1_000_000);
const ME: Actor = Actor::Coordinator(Uuid::from_u128(1));

fn timing() -> RolloutTiming {
    RolloutTiming {
        prepare_limit: Duration::from_secs(120),
        converge_limit: Duration::from_secs(30),
        lease: Duration::from_secs(12),
        grace: Duration::from_secs(1),
    }
}

fn at(milliseconds: u64) -> Timestamp {
    START.after(Duration::from_millis(milliseconds))
}

fn target(name: &str) -> Target {
    Target { name: ModelName::parse(name).unwrap(), version: ModelVersion::from_digest([7; 32]) }
}

/// A fleet with `old` active, while `new` is rolled out as generation 2.
fn preparing() -> FleetState {
    let old = begin(&FleetState::default(), target("old"), Uuid::from_u128(9), at(0), timing()).unwrap();
    let old = must(step(&old, &[], at(2_000), Actor::Coordinator(Uuid::from_u128(9))));
    let old = must(step(&old, &[], at(2_000), Actor::Coordinator(Uuid::from_u128(9))));
    assert_eq!(phase(&old), &Phase::Done);
    begin(&old, target("new"), Uuid::from_u128(1), at(10_000), timing()).unwrap()
}

fn converging() -> FleetState {
    must(step(&preparing(), &[ready("a", Some(1), Some(PreparationState::Prepared))], at(11_000), ME))
}

fn rolled_back() -> FleetState {
    must(step(&preparing(), &[ready("a", Some(1), Some(failed_state()))], at(11_000), ME))
}

fn done() -> FleetState {
    must(step(&converging(), &[ready("a", Some(2), None)], at(11_500), ME))
}

fn worker(
    name: &str,
    state: WorkerState,
    generation: Option<u64>,
    own: Option<PreparationState>,
) -> WorkerReport {
    WorkerReport {
        id: WorkerId::from(name.to_owned()),
        host: "host".to_owned(),
        state,
        device: "cpu".to_owned(),
        generation: generation.map(Generation),
        loaded: generation.map(answers_from).into_iter().collect(),
        preparation: own.map(|state| Preparation { generation: Generation(2), rollout: None, state }),
        problem: None,
        found: None,
        clock_offset_ms: None,
        images_per_second: 0.0,
        parts_per_second: 0.0,
        images_total: 0,
        started_at: START,
        reported_at: START,
    }
}

/// The first generation is `old`, those after it are `new`.
fn answers_from(generation: u64) -> LoadedModel {
    let Target { name, version } = target(if generation < 2 { "old" } else { "new" });
    LoadedModel { name, version, role: ModelRole::Active }
}

fn ready(name: &str, generation: Option<u64>, own: Option<PreparationState>) -> WorkerReport {
    worker(name, WorkerState::Ready, generation, own)
}

fn failed_state() -> PreparationState {
    PreparationState::Failed { reason: "out of memory".to_owned() }
}

fn unservable_state() -> PreparationState {
    PreparationState::Unservable { problems: vec!["one".to_owned(), "two".to_owned()] }
}

fn must(decision: Decision) -> FleetState {
    match decision {
        Decision::Replace(next) => *next,
        Decision::Wait | Decision::Over => panic!("expected a replacement, got {decision:?}"),
    }
}

fn phase(state: &FleetState) -> &Phase {
    &state.rollout.as_ref().unwrap().phase
}

fn active(state: &FleetState) -> (&str, u64) {
    let model = state.active.as_ref().unwrap();
    (model.name.as_str(), model.generation.0)
}

fn failure(state: &FleetState) -> &RolloutFailure {
    match phase(state) {
        Phase::RolledBack { failure } => failure,
        other @ (Phase::Preparing | Phase::Converging | Phase::Done | Phase::Unknown) => {
            panic!("not rolled back: {other:?}")
        }
    }
}

fn ids(names: &[&str]) -> Vec<WorkerId> {
    names.iter().map(|name| WorkerId::from((*name).to_owned())).collect()
}

#[test]
fn a_rollout_begins_without_changing_what_is_active() {
    let state = preparing();
    assert_eq!(active(&state), ("old", 1));
    assert_eq!(state.generation, Generation(2));
    let rollout = state.rollout.as_ref().unwrap();
    assert_eq!(rollout.target.generation, Generation(2));
    assert_eq!((rollout.prepare_until, rollout.lease_until), (at(130_000), at(22_000)));
    assert_eq!(state.history.len(), 1);
}

#[test]
fn a_rollout_begins_only_when_none_is_running() {
    for running in [preparing(), converging()] {
        let refused = begin(&running, target("third"), Uuid::from_u128(2), at(60_000), timing());
        assert_eq!(refused, Err(Busy(Generation(2))));
    }
    for ended in [done(), rolled_back(), FleetState::default()] {
        let next = begin(&ended, target("third"), Uuid::from_u128(2), at(12_000), timing()).unwrap();
        assert_eq!(next.generation, ended.generation.next());
        assert_eq!((&next.active, &next.previous), (&ended.active, &ended.previous));
    }
}

#[test]
fn it_commits_when_every_ready_worker_is_prepared() {
    let prepared = || Some(PreparationState::Prepared);
    let workers = [ready("a", Some(1), prepared()), ready("b", Some(1), prepared())];
    let next = must(step(&preparing(), &workers, at(11_000), ME));
    assert_eq!(phase(&next), &Phase::Converging);
    assert_eq!(active(&next), ("new", 2));
    assert_eq!(next.previous.as_ref().unwrap().name.as_str(), "old");
    let rollout = next.rollout.unwrap();
    assert_eq!((rollout.committed_at, rollout.participants), (Some(at(11_000)), ids(&["a", "b"])));
}

#[test]
fn it_waits_for_a_ready_worker_that_is_not_prepared_for_this_very_rollout() {
    let mut stale = ready("b", Some(1), Some(PreparationState::Prepared));
    stale.preparation.as_mut().unwrap().generation = Generation(1);
    for unprepared in [ready("b", Some(1), None), ready("b", Some(1), Some(PreparationState::Loading)), stale]
    {
        let workers = [ready("a", Some(1), Some(PreparationState::Prepared)), unprepared];
        let next = must(step(&preparing(), &workers, at(10_100), ME));
        assert_eq!(phase(&next), &Phase::Preparing);
        assert_eq!(next.rollout.as_ref().unwrap().participants, ids(&["a", "b"]));
        // Nothing more to note until the next event.
        assert_eq!(step(&next, &workers, at(10_200), ME), Decision::Wait);
    }
}

#[test]
fn workers_that_start_or_stop_do_not_hold_up_those_that_are_ready() {
    let prepared = ready("a", Some(1), Some(PreparationState::Prepared));
    for state in [WorkerState::Starting, WorkerState::Stopping] {
        for own in [None, Some(PreparationState::Loading), Some(failed_state()), Some(unservable_state())] {
            let workers = [prepared.clone(), worker("b", state, None, own)];
            let next = must(step(&preparing(), &workers, at(11_000), ME));
            assert_eq!(phase(&next), &Phase::Converging);
        }
    }
}

#[test]
fn while_no_worker_is_ready_those_that_start_count() {
    let starting = |own| [worker("a", WorkerState::Starting, None, own)];
    let next = must(step(&preparing(), &starting(Some(PreparationState::Loading)), at(12_000), ME));
    assert_eq!(phase(&next), &Phase::Preparing);
    let next = must(step(&preparing(), &starting(Some(PreparationState::Prepared)), at(12_000), ME));
    assert_eq!(phase(&next), &Phase::Converging);
    let next = must(step(&preparing(), &starting(Some(unservable_state())), at(12_000), ME));
    assert!(matches!(failure(&next), RolloutFailure::Unservable { .. }));
}

#[test]
fn a_worker_that_fails_rolls_it_back_and_is_named() {
    let workers =
        [ready("a", Some(1), Some(PreparationState::Prepared)), ready("b", Some(1), Some(failed_state()))];
    let next = must(step(&preparing(), &workers, at(11_000), ME));
    let expected =
        RolloutFailure::WorkerFailed { worker: ids(&["b"])[0].clone(), reason: "out of memory".to_owned() };
    assert_eq!(failure(&next), &expected);
    assert_eq!((active(&next), next.previous.as_ref()), (("old", 1), None));
    assert_eq!(next.rollout.unwrap().ended_at, Some(at(11_000)));
}

#[test]
fn the_faults_of_a_package_say_more_than_the_failure_of_a_worker() {
    let workers = [ready("a", Some(1), Some(failed_state())), ready("b", Some(1), Some(unservable_state()))];
    let next = must(step(&preparing(), &workers, at(11_000), ME));
    assert!(matches!(failure(&next), RolloutFailure::Unservable { problems, .. } if problems.len() == 2));
}

/// A fleet whose lease was renewed until shortly before the limit.
fn nearly_timed_out() -> FleetState {
    let mut state = preparing();
    state.rollout.as_mut().unwrap().lease_until = at(135_000);
    state
}

#[test]
fn time_that_is_up_rolls_it_back_and_names_who_was_missing() {
    let workers = [
        ready("a", Some(1), Some(PreparationState::Prepared)),
        ready("b", Some(1), Some(PreparationState::Loading)),
        ready("c", Some(1), None),
    ];
    assert_eq!(phase(&must(step(&nearly_timed_out(), &workers, at(129_999), ME))), &Phase::Preparing);
    let next = must(step(&nearly_timed_out(), &workers, at(130_000), ME));
    assert_eq!(failure(&next), &RolloutFailure::TimedOut { waiting_for: ids(&["b", "c"]) });
    assert_eq!(active(&next), ("old", 1));
}

#[test]
fn a_fleet_without_workers_records_the_choice_after_the_grace() {
    let state = preparing();
    assert_eq!(step(&state, &[], at(10_999), ME), Decision::Wait);
    let next = must(step(&state, &[], at(11_000), ME));
    assert_eq!(active(&next), ("new", 2));
    assert!(next.rollout.as_ref().unwrap().is_only_recorded());
    let next = must(step(&next, &[], at(11_000), ME));
    assert_eq!(phase(&next), &Phase::Done);
    assert!(!converging().rollout.unwrap().is_only_recorded());
}

#[test]
fn workers_that_all_vanish_are_waited_for_until_the_time_is_up() {
    let workers = [ready("a", Some(1), Some(PreparationState::Loading))];
    let seen = must(step(&nearly_timed_out(), &workers, at(10_100), ME));
    let mut seen = seen;
    seen.rollout.as_mut().unwrap().lease_until = at(135_000);
    assert_eq!(step(&seen, &[], at(60_000), ME), Decision::Wait);
    let next = must(step(&seen, &[], at(130_000), ME));
    assert_eq!(failure(&next), &RolloutFailure::TimedOut { waiting_for: ids(&["a"]) });
}

#[test]
fn a_worker_that_vanished_counts_no_more() {
    let both = [
        ready("a", Some(1), Some(PreparationState::Prepared)),
        ready("b", Some(1), Some(PreparationState::Loading)),
    ];
    let seen = must(step(&preparing(), &both, at(10_100), ME));
    assert_eq!(phase(&must(step(&seen, &both[..1], at(15_000), ME))), &Phase::Converging);
}

#[test]
fn the_lease_is_renewed_before_it_runs_out() {
    let loading = [ready("a", Some(1), Some(PreparationState::Loading))];
    let state = must(step(&preparing(), &loading, at(10_000), ME));
    assert_eq!(step(&state, &loading, at(13_999), ME), Decision::Wait);
    let renewed = must(step(&state, &loading, at(14_000), ME));
    assert_eq!(renewed.rollout.as_ref().unwrap().lease_until, at(26_000));

    let behind = [ready("a", Some(1), None)];
    let renewed = must(step(&converging(), &behind, at(20_000), ME));
    assert_eq!(renewed.rollout.as_ref().unwrap().lease_until, at(32_000));
}

#[test]
fn nobody_but_its_coordinator_acts_while_the_lease_lasts() {
    let prepared = [ready("a", Some(2), Some(PreparationState::Prepared))];
    for state in [preparing(), converging()] {
        assert_eq!(step(&state, &prepared, at(11_000), Actor::Bystander), Decision::Wait);
        let other = Actor::Coordinator(Uuid::from_u128(2));
        assert_eq!(step(&state, &prepared, at(11_000), other), Decision::Over);
        assert_eq!(step(&state, &prepared, at(90_000), other), Decision::Over);
    }
}

#[test]
fn a_lost_lease_before_the_commit_rolls_back_whoever_looks() {
    let prepared = [ready("a", Some(1), Some(PreparationState::Prepared))];
    for who in [ME, Actor::Bystander] {
        assert!(is_orphaned(&preparing(), at(22_000)));
        let next = must(step(&preparing(), &prepared, at(22_000), who));
        assert_eq!((failure(&next), active(&next)), (&RolloutFailure::CoordinatorLost, ("old", 1)));
    }
}

#[test]
fn a_lost_lease_after_the_commit_is_finished_by_whoever_looks() {
    let (behind, follows) = ([ready("a", Some(1), None)], [ready("a", Some(2), None)]);
    for who in [ME, Actor::Bystander] {
        assert!(is_orphaned(&converging(), at(23_000)));
        assert_eq!(step(&converging(), &behind, at(24_000), who), Decision::Wait);
        let next = must(step(&converging(), &follows, at(24_000), who));
        assert_eq!((phase(&next), active(&next)), (&Phase::Done, ("new", 2)));
        // A worker that never follows does not keep the rollout running forever.
        let next = must(step(&converging(), &behind, at(41_000), who));
        assert_eq!((phase(&next), active(&next)), (&Phase::Done, ("new", 2)));
    }
}

#[test]
fn it_is_done_when_every_ready_worker_follows() {
    let workers = |second| [ready("a", Some(2), None), second];
    for behind in [ready("b", Some(1), None), ready("b", None, None)] {
        assert_eq!(step(&converging(), &workers(behind), at(11_500), ME), Decision::Wait);
    }
    for fine in [
        ready("b", Some(3), None),
        worker("b", WorkerState::Starting, None, None),
        worker("b", WorkerState::Stopping, Some(1), None),
    ] {
        let next = must(step(&converging(), &workers(fine), at(11_500), ME));
        assert_eq!((phase(&next), next.rollout.as_ref().unwrap().ended_at), (&Phase::Done, Some(at(11_500))));
    }
}

#[test]
fn a_failure_reported_after_the_commit_takes_nothing_back() {
    let late = [ready("a", Some(1), Some(failed_state()))];
    assert_eq!(step(&converging(), &late, at(11_500), ME), Decision::Wait);
}

#[test]
fn an_ended_rollout_and_none_at_all_need_nothing() {
    let workers = [ready("a", Some(1), Some(PreparationState::Prepared))];
    for state in [done(), rolled_back(), FleetState::default()] {
        for who in [ME, Actor::Bystander] {
            assert_eq!(step(&state, &workers, at(500_000), who), Decision::Over);
        }
        assert!(!is_orphaned(&state, at(500_000)));
    }
}

#[test]
fn going_back_is_another_rollout_of_the_model_before() {
    assert_eq!(rollback_target(&FleetState::default()), None);
    assert_eq!(rollback_target(&rolled_back()), None);
    let back = rollback_target(&done()).unwrap();
    assert_eq!(back.name.as_str(), "old");

    let state = begin(&done(), back, Uuid::from_u128(1), at(20_000), timing()).unwrap();
    let state = must(step(&state, &[], at(21_000), ME));
    assert_eq!(active(&state), ("old", 3));
    assert_eq!(rollback_target(&state).unwrap().name.as_str(), "new");
}

#[test]
fn rolling_out_the_active_model_again_keeps_what_to_go_back_to() {
    let state = begin(&done(), target("new"), Uuid::from_u128(1), at(20_000), timing()).unwrap();
    let state = must(step(&state, &[], at(21_000), ME));
    assert_eq!((active(&state), rollback_target(&state).unwrap().name.as_str()), (("new", 3), "old"));
}

#[test]
fn ended_rollouts_are_found_until_too_many_came_after() {
    let mut state = FleetState::default();
    for round in 0..40 {
        state = begin(&state, target("m"), Uuid::from_u128(1), at(round * 10_000), timing()).unwrap();
        state = must(step(&state, &[], at(round * 10_000 + 2_000), ME));
        state = must(step(&state, &[], at(round * 10_000 + 2_000), ME));
    }
    assert_eq!(state.rollout_of(Generation(40)).unwrap().phase, Phase::Done);
    assert_eq!(state.rollout_of(Generation(8)).unwrap().generation, Generation(8));
    assert_eq!((state.rollout_of(Generation(7)), state.rollout_of(Generation(41))), (None, None));
}

#[test]
fn history_keeps_the_document_small() {
    let problems = (0..100).map(|n| format!("problem {n}")).collect::<Vec<_>>();
    let own = PreparationState::Unservable { problems: problems.clone() };
    let state = must(step(&preparing(), &[ready("a", Some(1), Some(own))], at(11_000), ME));
    assert!(matches!(failure(&state), RolloutFailure::Unservable { problems: all, .. } if *all == problems));

    let next = begin(&state, target("third"), Uuid::from_u128(2), at(12_000), timing()).unwrap();
    let Phase::RolledBack { failure: RolloutFailure::Unservable { problems, .. } } = &next.history[0].phase
    else {
        panic!("{:?}", next.history[0].phase);
    };
    assert_eq!((problems.len(), problems[16].as_str()), (17, "and 84 more"));
}

#[test]
fn a_document_of_an_earlier_release_is_understood() {
    let mut json = serde_json::to_value(preparing()).unwrap();
    let rollout = json["rollout"].as_object_mut().unwrap();
    for added in ["committed_at", "participants", "timing"] {
        assert!(rollout.remove(added).is_some());
    }
    let state: FleetState = serde_json::from_value(json).unwrap();
    assert_eq!(state.rollout.unwrap().timing, RolloutTiming::default());
}

/// A store that came back with an older state assigns generation 2 again, to another model.
#[test]
fn what_a_worker_said_of_a_generation_that_comes_twice_counts_for_its_own_rollout_alone() {
    let again = begin(&rolled_back(), target("other"), Uuid::from_u128(1), at(12_000), timing()).unwrap();
    let (first, second) = (preparing().rollout.unwrap(), again.rollout.unwrap());
    let restored = Rollout { generation: first.generation, coordinator: Uuid::from_u128(5), ..second };
    let state = FleetState { rollout: Some(restored.clone()), ..preparing() };
    let actor = Actor::Coordinator(Uuid::from_u128(5));
    let mut worker = ready("a", Some(1), Some(PreparationState::Prepared));
    worker.preparation.as_mut().unwrap().rollout = Some(first.id());
    assert_eq!(step(&state, &[worker.clone()], at(12_100), actor), {
        let mut counted = state.clone();
        let rollout = counted.rollout.as_mut().unwrap();
        rollout.participants = ids(&["a"]);
        rollout.lease_until = at(24_100);
        Decision::Replace(Box::new(counted))
    });
    worker.preparation.as_mut().unwrap().rollout = Some(restored.id());
    let committed = must(step(&state, &[worker], at(12_100), actor));
    assert_eq!(phase(&committed), &Phase::Converging);
    // The generation is right, but the model is that of the first rollout.
    let stale = ready("a", Some(2), None);
    assert_eq!(step(&committed, &[stale], at(12_200), actor), Decision::Wait);
}

#[test]
fn a_bystander_whose_clock_is_ahead_does_not_take_a_coordinator_for_dead() {
    use std::time::Instant;

    use crate::store::Revised;

    let mut watch = LeaseWatch::default();
    let start = Instant::now();
    let mut fleet = Revised { revision: Revision::random(), value: preparing() };
    let ahead = at(3_600_000);
    let mut look = |fleet: &Revised<FleetState>, seconds| {
        watch.is_orphaned(fleet, ahead, start + Duration::from_secs(seconds))
    };
    assert!(!look(&fleet, 0));
    assert!(!look(&fleet, 11));
    fleet.revision = Revision::random();
    assert!(!look(&fleet, 12), "it was renewed");
    assert!(!look(&fleet, 23));
    assert!(look(&fleet, 24));
    assert!(!LeaseWatch::default().is_orphaned(&fleet, at(10_000), start));
}
