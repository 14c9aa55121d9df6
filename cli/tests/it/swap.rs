//! Swaps of the fleet, with real coordinators and workers.

mod fleet;
mod line;
mod troubles;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::rollout::SwapError;
use common::fleet::{ModelRole, Phase, RolloutFailure, WorkerState};
use common::ids::{Generation, RolloutId};
use common::store::Store as _;
use uuid::Uuid;
use worker::control::Stopping;

use self::fleet::{Fleet, Mood, TIMING, is, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_swap_changes_the_model_of_every_worker() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let workers = fleet.workers(["a", "b", "c"]).await;
    assert_eq!(fleet.swap(&old).await.phase, Phase::Done);
    let rollout = fleet.swap(&new).await;
    assert_eq!((rollout.phase, rollout.participants.len()), (Phase::Done, 3));

    let active = fleet.active().await;
    assert_eq!((&active.name, &active.version, active.generation), (&new.name, &new.version, Generation(2)));
    for worker in &workers {
        let report = fleet.report(worker.id()).await.unwrap();
        assert_eq!((report.state, report.generation), (WorkerState::Ready, Some(Generation(2))));
        let roles: Vec<_> = report.loaded.iter().map(|model| (model.name.as_str(), model.role)).collect();
        assert_eq!(roles, [("new", ModelRole::Active), ("old", ModelRole::Draining)]);
        assert_eq!(
            (worker.loads(), report.device.as_str()),
            (vec!["old".to_owned(), "new".to_owned()], "cpu")
        );
    }
}

/// A job for the currently active model finds it in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_waits_for_a_model_to_load_because_of_a_swap() {
    let fleet = Arc::new(Fleet::new());
    let packages = [fleet.package("red", "1"), fleet.package("blue", "2")];
    let workers = fleet.workers(["a", "b"]).await;
    fleet.swap(&packages[0]).await;

    let over = Arc::new(AtomicBool::new(false));
    let traffic: Vec<_> = workers
        .iter()
        .map(|worker| {
            let (fleet, over) = (Arc::clone(&fleet), Arc::clone(&over));
            let (control, models) = (Arc::clone(&worker.control), Arc::clone(&worker.models));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    control.current().await.unwrap();
                    let pinned = fleet.active().await;
                    assert!(models.holds(&pinned), "{pinned:?} is not in memory");
                    assert_eq!(models.get(&pinned).await.unwrap().package.version, pinned.version);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..8 {
        let target = &packages[round % 2];
        assert_eq!(fleet.swap(target).await.phase, Phase::Done);
        assert_eq!(fleet.active().await.version, target.version, "read after the swap answered");
    }
    over.store(true, Ordering::Relaxed);
    for one in traffic {
        one.await.unwrap();
    }
    for worker in &workers {
        assert_eq!(worker.loads(), ["red", "blue"], "each was loaded once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_that_fails_changes_nothing_anywhere() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let workers = fleet.workers(["a", "b", "c"]).await;
    fleet.swap(&old).await;
    let before = fleet.active().await;
    workers[1].mood(Mood::OutOfMemory);

    let rollout = fleet.swap(&new).await;
    let failure = RolloutFailure::WorkerFailed {
        worker: workers[1].id().clone(),
        reason: "package `new`: out of memory".to_owned(),
    };
    assert_eq!(rollout.phase, Phase::RolledBack { failure });
    assert_eq!(fleet.active().await, before);
    fleet
        .until("the target is dropped everywhere", |_, reports| {
            reports.len() == 3 && reports.iter().all(|report| report.loaded.len() == 1)
        })
        .await;

    // Fixed, the same swap succeeds.
    workers[1].mood(Mood::Fine);
    assert_eq!(fleet.swap(&new).await.phase, Phase::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_nobody_can_serve_is_refused_with_all_its_faults() {
    let fleet = Fleet::new();
    let (old, broken) = (fleet.package("old", "1"), fleet.package("broken", "broken"));
    let _workers = fleet.workers(["a", "b"]).await;
    fleet.swap(&old).await;
    let rollout = fleet.swap(&broken).await;
    let Phase::RolledBack { failure: RolloutFailure::Unservable { problems, .. } } = rollout.phase else {
        panic!("{rollout:?}");
    };
    assert_eq!(problems, ["layer `a`: one", "layer `b`: two"]);
    assert_eq!(fleet.active().await.version, old.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_too_slow_is_named_and_the_old_model_answers_meanwhile() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let workers = fleet.workers(["a", "slow"]).await;
    fleet.swap(&old).await;
    let held = workers[1].hold_loads();

    let timing = api::rollout::RolloutTiming { prepare_limit: Duration::from_millis(400), ..TIMING };
    let (coordinator, _line) = fleet.coordinator(timing);
    let begun = coordinator.swap(new.clone(), soon()).await.unwrap();
    fleet.until("one is prepared", |_, reports| reports.iter().any(|report| report.loaded.len() == 2)).await;
    for worker in &workers {
        worker.control.current().await.unwrap();
        assert!(worker.models.holds(&fleet.active().await));
    }
    assert!(
        matches!(coordinator.swap(old.clone(), soon()).await, Err(SwapError::Busy(running)) if running == begun.generation)
    );
    assert!(!coordinator.wait(begun.id, Duration::ZERO).await.unwrap().unwrap().is_ended());

    let rollout = fleet.end(&coordinator, begun).await;
    let failure = RolloutFailure::TimedOut { waiting_for: vec![workers[1].id().clone()] };
    assert_eq!(rollout.phase, Phase::RolledBack { failure });
    assert_eq!(fleet.active().await.version, old.version);
    drop(held);
    fleet
        .until("the late load is dropped", |_, reports| reports.iter().all(|report| report.loaded.len() == 1))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_without_workers_records_the_choice_and_a_worker_loads_it_as_it_comes() {
    let fleet = Fleet::new();
    let model = fleet.package("m", "1");
    let rollout = fleet.swap(&model).await;
    assert!(rollout.phase == Phase::Done && rollout.is_only_recorded(), "{rollout:?}");

    let late = fleet.worker("late");
    late.control.current().await.unwrap();
    assert!(late.models.holds(&fleet.active().await));
    let report = fleet.report(late.id()).await.unwrap();
    assert_eq!((report.state, report.generation), (WorkerState::Ready, Some(Generation(1))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_is_a_swap_that_loads_nothing() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [worker] = fleet.workers(["a"]).await;
    let (coordinator, _line) = fleet.coordinator(TIMING);
    assert!(matches!(coordinator.rollback(soon()).await, Err(SwapError::NothingToRollBackTo)));
    fleet.swap(&old).await;
    fleet.swap(&new).await;
    // Also after its bytes were replaced on the disk.
    fleet.package("old", "other bytes");
    let begun = coordinator.rollback(soon()).await.unwrap();
    assert_eq!(fleet.end(&coordinator, begun).await.phase, Phase::Done);
    assert_eq!((fleet.active().await.version, begun.generation), (old.version, Generation(3)));
    assert_eq!(worker.loads(), ["old", "new"]);
    assert!(coordinator.wait(RolloutId(Uuid::new_v4()), Duration::from_secs(5)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_bytes_under_the_same_name_are_a_new_version() {
    let fleet = Fleet::new();
    let first = fleet.package("m", "1");
    let [worker] = fleet.workers(["a"]).await;
    fleet.swap(&first).await;
    let pinned_before = fleet.active().await;
    let second = fleet.package("m", "2");
    assert_eq!(fleet.swap(&second).await.phase, Phase::Done);
    assert_eq!(fleet.active().await.version, second.version);
    // A job that was accepted before the swap is answered by the bytes that it was pinned to.
    assert_eq!(worker.models.get(&pinned_before).await.unwrap().package.version, first.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_leaves_is_waited_for_by_nobody() {
    let fleet = Fleet::new();
    let (old, new) = (fleet.package("old", "1"), fleet.package("new", "2"));
    let [stays, leaves] = fleet.workers(["stays", "leaves"]).await;
    fleet.swap(&old).await;
    leaves.control.stopping();
    assert_eq!(leaves.control.current().await, Err(Stopping));
    fleet.until("it says so", |_, reports| is(reports, leaves.id(), WorkerState::Stopping)).await;
    let rollout = fleet.swap(&new).await;
    assert_eq!((rollout.phase, rollout.participants), (Phase::Done, vec![stays.id().clone()]));
    // It begins nothing, and can still answer its current jobs.
    assert_eq!(leaves.loads(), ["old"]);
    assert_eq!(leaves.models.loaded().len(), 1);
    leaves.control.stopped().await;
    assert_eq!(fleet.store.workers().await.unwrap().len(), 1);
}
