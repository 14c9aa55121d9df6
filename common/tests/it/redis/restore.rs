//! A Redis that comes back with older data, or with none: remembered data that was lost is never confused with the
//! current data.

use std::time::Duration;

use common::fleet::FleetState;
use common::ids::{Generation, Revision};
use common::messages::{JobFailure, JobStatus, PartId};
use common::store::redis::{RedisConfig, RedisStore};
use common::store::{Acceptance, Replacement, Store, Stored, Wanted};
use testing::samples::{failed, record, result};
use testing::{RedisServer, unique_prefix};
use tokio::time::timeout;

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig { url: server.url(), prefix: unique_prefix(), call_timeout: Duration::from_secs(20) }
}

fn state(generation: u64) -> FleetState {
    FleetState { generation: Generation(generation), ..FleetState::default() }
}

async fn replace(store: &RedisStore, revision: Revision, generation: u64) -> Revision {
    store.replace_fleet(revision, &state(generation), None).await.unwrap().done().unwrap()
}

/// A process that remembers `lost` must be refused after the fleet was replaced again.
async fn is_not_believed(store: &RedisStore, lost: Revision) {
    let now = store.fleet().await.unwrap();
    let again = replace(store, now.revision, 7).await;
    assert_eq!(store.put_job(&record(1), lost).await.unwrap(), Acceptance::FleetChanged);
    assert_eq!(store.replace_fleet(lost, &state(8), None).await.unwrap(), Replacement::Changed);
    let found = store.fleet().await.unwrap();
    assert_eq!((found.revision, found.value), (again, state(7)));
    assert_eq!(store.put_job(&record(1), again).await.unwrap(), Acceptance::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_was_lost_is_never_given_again() {
    let mut server = RedisServer::start();
    let config = config(&server);
    let (remembers, swaps) =
        (RedisStore::connect(config.clone()).await.unwrap(), RedisStore::connect(config).await.unwrap());
    let blue = replace(&swaps, Revision::NONE, 4).await;
    let saved = server.save();
    let green = replace(&swaps, blue, 8).await;
    assert_eq!(remembers.fleet().await.unwrap().revision, green);

    tokio::task::block_in_place(|| server.restore(&saved));
    assert_eq!(swaps.fleet().await.unwrap().value, state(4), "the swap to green was lost");
    is_not_believed(&remembers, green).await;

    tokio::task::block_in_place(|| server.come_back_empty());
    assert_eq!(swaps.fleet().await.unwrap().revision, Revision::NONE);
    is_not_believed(&remembers, blue).await;
}

/// Two parts failed; one was reopened, which was lost. Its late result must not become that of the other part, which is
/// reopened now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_result_of_a_lost_replay_is_not_taken_for_another_parts() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    let job = record(2);
    let part = |index| PartId { job: job.id, index };
    let later = job.deadline.after(Duration::from_secs(600));
    store.put_job(&job, Revision::NONE).await.unwrap();
    for index in [0, 1] {
        store.put_part(part(index), &failed(JobFailure::Internal)).await.unwrap();
    }
    let saved = server.save();
    let lost = store.reopen_part(part(0), later).await.unwrap().unwrap();

    tokio::task::block_in_place(|| server.restore(&saved));
    let other = store.reopen_part(part(1), later).await.unwrap().unwrap();
    assert_ne!(lost, other);
    assert_eq!(store.begin_part(lost).await.unwrap(), Wanted::No);
    assert_eq!(store.put_part(lost, &result(0, "late")).await.unwrap(), Stored::Ignored);
    assert_eq!(store.begin_part(other).await.unwrap(), Wanted::Yes);
    assert_eq!(store.put_part(other, &result(1, "cat")).await.unwrap(), Stored::First);
    let again = store.reopen_part(part(0), later).await.unwrap().unwrap();
    assert_eq!(store.put_part(again, &result(0, "dog")).await.unwrap(), Stored::First);
    let status = store.job(job.id).await.unwrap().unwrap().status;
    assert!(matches!(status, JobStatus::Done { .. }), "{status:?}");
}

/// A lost job is unknown, also for its waiters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_job_that_was_lost_is_told() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    let job = record(1);
    store.put_job(&job, Revision::NONE).await.unwrap();
    let waiting = store.wait(store.watch(job.id), Duration::from_secs(60));
    let (waited, ()) = tokio::join!(timeout(Duration::from_secs(30), waiting), async {
        tokio::task::block_in_place(|| server.come_back_empty());
    });
    assert_eq!(waited.expect("it is told soon").unwrap(), None);
    let part = PartId { job: job.id, index: 0 };
    assert_eq!(store.put_part(part, &result(0, "dog")).await.unwrap(), Stored::Ignored);
}
