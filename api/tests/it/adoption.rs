//! A fleet whose active package was replaced on every disk adopts the version on disk.

use std::sync::Arc;
use std::time::Duration;

use api::rollout::{Coordinator, RolloutTiming};
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerLimits};
use common::fleet::{
    FleetState, LoadedModel, Phase, Preparation, PreparationState, WorkerReport, WorkerState,
};
use common::ids::{Generation, ModelName, ModelVersion, Revision, WorkerId};
use common::messages::{PinnedModel, Timestamp};
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const HEARTBEAT: Duration = Duration::from_secs(1);

fn model(version: u8, generation: u64) -> PinnedModel {
    PinnedModel {
        name: ModelName::parse("m").unwrap(),
        version: ModelVersion::from_digest([version; 32]),
        generation: Generation(generation),
    }
}

/// A fleet whose active model is version 1, in generation 4.
async fn fleet() -> Arc<InMemoryStore> {
    let store = InMemoryStore::new();
    let state = FleetState { generation: Generation(4), active: Some(model(1, 4)), ..FleetState::default() };
    store.replace_fleet(Revision::NONE, &state, None).await.unwrap().done().unwrap();
    store
}

/// The sweepers of two API processes.
fn sweepers(store: &Arc<InMemoryStore>) -> [Arc<Coordinator>; 2] {
    [(); 2].map(|()| {
        let limits = BrokerLimits { max_parts: 10, max_bytes: None, call_timeout: Duration::from_secs(1) };
        let broker: Arc<dyn Broker> = InProcessBroker::new(limits);
        let coordinator = Coordinator::new(broker, Arc::clone(store) as _, RolloutTiming::default());
        coordinator.spawn_sweeper(CancellationToken::new());
        coordinator
    })
}

/// A worker with this version on its disk: it can load only that one.
async fn report(store: &InMemoryStore, name: &str, on_disk: u8) {
    let state = store.fleet().await.unwrap().value;
    let active = state.active.unwrap();
    let has = |model: &PinnedModel| model.version == self::model(on_disk, 0).version;
    let preparing = state.rollout.as_ref().filter(|rollout| rollout.phase == Phase::Preparing);
    let prepared = |has| match has {
        true => PreparationState::Prepared,
        false => PreparationState::Failed { reason: "other bytes".to_owned() },
    };
    let now = store.now();
    let report = WorkerReport {
        id: WorkerId::from(name.to_owned()),
        host: "host".to_owned(),
        state: if has(&active) { WorkerState::Ready } else { WorkerState::Starting },
        device: "cpu".to_owned(),
        loaded: Some(&active).into_iter().filter(|active| has(active)).map(LoadedModel::active).collect(),
        generation: has(&active).then_some(active.generation),
        preparation: preparing.map(|rollout| Preparation {
            generation: rollout.generation,
            rollout: Some(rollout.id()),
            state: prepared(has(&rollout.target)),
        }),
        problem: None,
        found: (!has(&active)).then(|| model(on_disk, 0).version),
        clock_offset_ms: None,
        images_per_second: 0.0,
        parts_per_second: 0.0,
        images_total: 0,
        started_at: now,
        reported_at: Timestamp::now(),
    };
    store.report_worker(&report, HEARTBEAT * 4).await.unwrap();
}

async fn heartbeats(store: &InMemoryStore, workers: &[(&str, u8)], count: u32) {
    for _ in 0..count {
        for (name, on_disk) in workers {
            report(store, name, *on_disk).await;
        }
        sleep(HEARTBEAT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_version_that_every_worker_found_is_rolled_out_once() {
    let store = fleet().await;
    let _sweepers = sweepers(&store);
    let workers = [("a", 2), ("b", 2)];
    heartbeats(&store, &workers, 4).await;
    assert_eq!(store.fleet().await.unwrap().value.rollout, None, "too soon");
    let settles = async {
        while store.fleet().await.unwrap().value.active.unwrap().version == model(1, 0).version {
            heartbeats(&store, &workers, 1).await;
        }
    };
    timeout(Duration::from_secs(60), settles).await.expect("nothing was rolled out");
    heartbeats(&store, &workers, 30).await;
    let state = store.fleet().await.unwrap().value;
    assert_eq!((state.active, state.previous), (Some(model(2, 5)), Some(model(1, 4))));
    assert_eq!((state.generation, state.rollout.unwrap().phase), (Generation(5), Phase::Done));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_rolled_out_while_anybody_has_the_active_version_or_finds_another() {
    for workers in [[("a", 2), ("b", 1)], [("a", 2), ("b", 3)]] {
        let store = fleet().await;
        let _sweepers = sweepers(&store);
        heartbeats(&store, &workers, 60).await;
        assert_eq!(store.fleet().await.unwrap().value.rollout, None, "{workers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_still_being_copied_is_not_rolled_out() {
    let store = fleet().await;
    let _sweepers = sweepers(&store);
    for version in 2..20 {
        heartbeats(&store, &[("a", version)], 4).await;
    }
    assert_eq!(store.fleet().await.unwrap().value.rollout, None);
}
