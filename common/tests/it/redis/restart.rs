//! The guarantees while Redis crashes, stops, hangs and comes back.

use std::time::Duration;

use common::ids::Revision;
use common::messages::{JobStatus, PartId};
use common::store::redis::{RedisConfig, RedisStore};
use common::store::{Acceptance, Store, StoreError, Stored};
use testing::samples::{record, result};
use testing::{RedisServer, unique_prefix};
use tokio::time::{Instant, timeout};

/// The timeout of a call here, with the delay of a busy machine.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(3);

/// Far longer than a server takes to come back.
const COMES_BACK: Duration = Duration::from_secs(60);

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig { url: server.url(), prefix: unique_prefix(), call_timeout: CALL_TIMEOUT }
}

async fn until_it_answers(store: &RedisStore) {
    timeout(COMES_BACK, async { while store.can_write().await.is_err() {} }).await.expect("it answers again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_and_those_who_wait_for_them_survive_restarts() {
    let mut server = RedisServer::start();
    let config = config(&server);
    let store = RedisStore::connect(config.clone()).await.unwrap();
    let worker = RedisStore::connect(config).await.unwrap();
    for clean in [false, true] {
        let record = record(2);
        let part = |index| PartId { job: record.id, index };
        assert_eq!(store.put_job(&record, Revision::NONE).await.unwrap(), Acceptance::Accepted);
        assert_eq!(worker.put_part(part(0), &result(0, "dog")).await.unwrap(), Stored::First);
        tokio::task::block_in_place(|| {
            if clean {
                server.stop();
            } else {
                server.kill();
            }
            server.restart();
        });
        until_it_answers(&store).await;
        let (waited, stored) = tokio::join!(store.wait(store.watch(record.id), COMES_BACK), async {
            until_it_answers(&worker).await;
            worker.put_part(part(1), &result(1, "cat")).await
        });
        assert_eq!(stored.unwrap(), Stored::First);
        let status = waited.unwrap().expect("the job is known").status;
        assert!(matches!(status, JobStatus::Done { .. }), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_bounded_while_the_server_hangs_or_is_gone() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    let known = record(1);
    store.put_job(&known, Revision::NONE).await.unwrap();

    let check = async |state: &str| {
        let begin = Instant::now();
        let new = record(1);
        let calls = tokio::join!(
            store.can_write(),
            async { store.put_job(&new, Revision::NONE).await.map(drop) },
            async { store.job(known.id).await.map(drop) },
            async { store.wait(store.watch(known.id), Duration::from_secs(1)).await.map(drop) },
            async { store.fleet().await.map(drop) },
        );
        assert!(begin.elapsed() < CALL_TIMEOUT + SLACK, "{state}: calls took {:?}", begin.elapsed());
        for outcome in [calls.0, calls.1, calls.2, calls.3, calls.4] {
            assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{state}: {outcome:?}");
        }
    };
    server.freeze();
    check("the server hangs").await;
    server.thaw();
    until_it_answers(&store).await;
    tokio::task::block_in_place(|| server.kill());
    check("the server is gone").await;
    tokio::task::block_in_place(|| server.restart());
    until_it_answers(&store).await;
    assert!(store.job(known.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_short_absence_is_not_noticed_by_callers() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(config(&server)).await.unwrap();
    let record = record(1);
    store.put_job(&record, Revision::NONE).await.unwrap();
    server.kill();
    let (job, ()) = tokio::join!(store.job(record.id), async { server.restart() });
    assert!(job.unwrap().is_some());
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_an_error_in_bounded_time() {
    for url in ["redis://127.0.0.1:1/0", "no address"] {
        let call_timeout = Duration::from_millis(300);
        let config = RedisConfig { url: url.to_owned(), prefix: unique_prefix(), call_timeout };
        assert!(RedisStore::connect(config).await.is_err(), "{url}");
    }
}
