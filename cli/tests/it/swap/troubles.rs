//! Swaps while processes crash, freeze, are late and lose the store.

use std::time::Duration;

use common::fleet::{FleetState, Phase, RolloutFailure, WorkerState};
use common::messages::Timestamp;
use common::rollout::{self, Actor, Decision, RolloutTiming, Target};
use common::store::Store as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fleet::{CONTROL, Fleet, TIMING, is, soon};
use super::line::State;

const SHORT_LEASE: RolloutTiming = RolloutTiming { lease: Duration::from_millis(300), ..TIMING };

/// The state that a coordinator leaves that crashes at once.
async fn begin_and_die(fleet: &Fleet, target: &Target) -> Uuid {
    let (id, was) = (Uuid::new_v4(), fleet.store.fleet().await.unwrap());
    let next = rollout::begin(&was.value, target.clone(), id, Timestamp::now(), SHORT_LEASE).unwrap();
    fleet.store.replace_fleet(was.revision, &next, None).await.unwrap().done().unwrap();
    id
}

fn has_ended(state: &FleetState) -> bool {
    state.rollout.as_ref().is_some_and(|rollout| rollout.is_ended())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_dies_before_the_commit_leaves_the_old_model() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [worker] = fleet.workers(["a"]).await;
    fleet.swap(&old).await;
    begin_and_die(&fleet, &new).await;
    fleet.until("the workers ended it", |state, _| has_ended(state)).await;
    let state = fleet.state().await;
    let lost = Phase::RolledBack { failure: RolloutFailure::CoordinatorLost };
    assert_eq!((state.rollout.unwrap().phase, state.active.unwrap().version), (lost, old.version));
    fleet.until("its target is dropped", |_, reports| reports[0].loaded.len() == 1).await;
    assert!(worker.models.holds(&fleet.active().await));
    // Nothing blocks the next rollout.
    assert_eq!(fleet.swap(&new).await.phase, Phase::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweeper_ends_what_a_dead_coordinator_left_when_there_is_no_worker() {
    let fleet = Fleet::new();
    let model = fleet.package("m", "1");
    begin_and_die(&fleet, &model).await;
    let (sweeper, _line) = fleet.coordinator(SHORT_LEASE);
    let stop = CancellationToken::new();
    sweeper.spawn_sweeper(stop.clone());
    fleet.until("the sweeper ended it", |state, _| has_ended(state)).await;
    assert_eq!(fleet.state().await.active, None);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_dies_after_the_commit_leaves_the_new_model() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [worker] = fleet.workers(["a"]).await;
    fleet.swap(&old).await;
    let id = begin_and_die(&fleet, &new).await;
    // Its last action is the commit.
    loop {
        let (was, reports) = (fleet.store.fleet().await.unwrap(), fleet.store.workers().await.unwrap());
        if let Decision::Replace(next) =
            rollout::step(&was.value, &reports, Timestamp::now(), Actor::Coordinator(id))
        {
            fleet.store.replace_fleet(was.revision, &next, None).await.unwrap().done().unwrap();
            if next.rollout.as_ref().unwrap().phase == Phase::Converging {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    fleet.until("the workers finished it", |state, _| has_ended(state)).await;
    let state = fleet.state().await;
    assert_eq!((state.rollout.unwrap().phase, state.active.unwrap().version), (Phase::Done, new.version));
    worker.control.current().await.unwrap();
    assert!(worker.models.holds(&fleet.active().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_was_frozen_past_its_lease_commits_nothing() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [worker] = fleet.workers(["a"]).await;
    fleet.swap(&old).await;
    let held = worker.hold_loads();
    let (coordinator, line) = fleet.coordinator(SHORT_LEASE);
    let begun = coordinator.swap(new, soon()).await.unwrap();
    line.set(State::Frozen);
    fleet.until("somebody ended it", |state, _| has_ended(state)).await;
    drop(held);
    line.set(State::Up);
    let rollout = fleet.end(&coordinator, begun).await;
    assert_eq!(rollout.phase, Phase::RolledBack { failure: RolloutFailure::CoordinatorLost });
    assert_eq!(fleet.active().await.version, old.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_store_shorter_than_the_lease_does_not_end_a_rollout() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [worker] = fleet.workers(["a"]).await;
    fleet.swap(&old).await;
    let held = worker.hold_loads();
    let (coordinator, line) = fleet.coordinator(TIMING);
    let begun = coordinator.swap(new, soon()).await.unwrap();
    line.set(State::Down);
    assert!(coordinator.wait(begun.id, Duration::from_millis(200)).await.is_err());
    line.set(State::Up);
    drop(held);
    assert_eq!(fleet.end(&coordinator, begun).await.phase, Phase::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_frozen_during_a_swap_takes_no_job_before_it_has_caught_up() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [awake, frozen] = fleet.workers(["awake", "frozen"]).await;
    fleet.swap(&old).await;
    frozen.line.set(State::Frozen);
    fleet.until("it is forgotten", |_, reports| !is(reports, frozen.id(), WorkerState::Ready)).await;
    let rollout = fleet.swap(&new).await;
    assert_eq!((rollout.phase, rollout.participants), (Phase::Done, vec![awake.id().clone()]));

    let held = frozen.hold_loads();
    let stays_shut = timeout(CONTROL.max_staleness * 2, frozen.control.current()).await;
    assert!(stays_shut.is_err(), "it has not looked for too long");
    frozen.line.set(State::Up);
    fleet
        .until("it says that it is not ready", |_, reports| is(reports, frozen.id(), WorkerState::Starting))
        .await;
    assert!(timeout(CONTROL.heartbeat, frozen.control.current()).await.is_err(), "it has the old model only");
    drop(held);
    frozen.control.current().await.unwrap();
    assert!(frozen.models.holds(&fleet.active().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_comes_during_a_preparation_prepares_before_it_takes_a_job() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [first] = fleet.workers(["first"]).await;
    fleet.swap(&old).await;
    let held = first.hold_loads();
    let (coordinator, _line) = fleet.coordinator(TIMING);
    let begun = coordinator.swap(new, soon()).await.unwrap();
    let late = fleet.worker("late");
    late.control.current().await.unwrap();
    let names: Vec<_> = late.models.loaded().into_iter().map(|model| model.name.to_string()).collect();
    assert_eq!(names, ["new", "old"]);
    drop(held);
    let rollout = fleet.end(&coordinator, begun).await;
    assert_eq!((rollout.phase, rollout.participants.len()), (Phase::Done, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_the_store_takes_no_jobs_until_it_is_back() {
    let fleet = Fleet::new();
    let [worker] = fleet.workers(["a"]).await;
    worker.line.set(State::Down);
    // The last state that was read is valid for a moment only.
    let shuts = async {
        while timeout(CONTROL.heartbeat, worker.control.current()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(CONTROL.max_staleness * 20, shuts).await.expect("it still takes jobs");
    worker.line.set(State::Up);
    worker.control.current().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_worker_that_cannot_load_the_active_model_says_why_and_keeps_trying() {
    let fleet = Fleet::new();
    let model = fleet.package("m", "1");
    fleet.swap(&model).await;
    let path = fleet.models_folder().join("m/m.hdf5");
    std::fs::remove_file(&path).unwrap();
    let late = fleet.worker("late");
    fleet
        .until("it says why", |_, reports| {
            reports.iter().any(|report| {
                report.state == WorkerState::Starting
                    && report.problem.as_ref().is_some_and(|problem| problem.contains("m/m.hdf5"))
            })
        })
        .await;
    // It does not block another model, which makes it ready.
    let other = fleet.package("other", "2");
    assert_eq!(fleet.swap(&other).await.phase, Phase::Done);
    late.control.current().await.unwrap();

    // Nor does it need a restart when the file is back.
    let second = fleet.worker("second");
    second.control.current().await.unwrap();
    fleet.package("m", "1");
    assert_eq!(fleet.swap(&model).await.phase, Phase::Done);
    assert_eq!(fleet.report(second.id()).await.unwrap().problem, None);
}
