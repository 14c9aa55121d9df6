//! A Redis that is not the right one any more is replaced by the one that its address leads to.

use std::time::Duration;

use common::ids::Revision;
use common::messages::PartId;
use common::store::redis::{RedisConfig, RedisStore};
use common::store::{Acceptance, Replacement, Store, StoreError, Stored};
use testing::samples::{failed, record, result};
use testing::{Durability, RedisServer, free_port, unique_prefix};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, timeout};

use super::line::Line;

const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The timeout of a probe, with the delay of a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn config(url: String) -> RedisConfig {
    RedisConfig { url, prefix: unique_prefix(), call_timeout: CALL_TIMEOUT }
}

/// The probe soon says why no job would be accepted.
async fn wrong_server(store: &RedisStore, cause: &str) {
    let begin = Instant::now();
    let outcome = store.can_write().await;
    let Err(StoreError::Unavailable(text)) = &outcome else { panic!("{cause}: {outcome:?}") };
    assert!(text.contains(cause), "{cause}: {text}");
    assert!(begin.elapsed() < SOON, "{cause}: it took {:?}", begin.elapsed());
}

async fn accepts(store: &RedisStore) {
    let accepted = store.put_job(&record(1), Revision::NONE).await;
    assert_eq!(accepted.unwrap(), Acceptance::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_no_jobs_until_it_is_made_a_master() {
    let master = RedisServer::start();
    let replica = master.start_replica();
    block_in_place(|| master.wait_for_copy(&replica));
    let store = RedisStore::new(config(replica.url())).unwrap();
    wrong_server(&store, "READONLY").await;
    let record = record(1);
    let (put, ()) = tokio::join!(store.put_job(&record, Revision::NONE), async {
        sleep(Duration::from_secs(1)).await;
        replica.lead();
    });
    assert_eq!(put.unwrap(), Acceptance::Accepted);
}

/// The old master becomes a replica, and the connection to it stays open: nothing cuts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_address_is_looked_up_anew() {
    let old = RedisServer::start();
    let new = old.start_replica();
    block_in_place(|| old.wait_for_copy(&new));
    let line = Line::to(&old).await;
    let config = config(line.url());
    let store = RedisStore::connect(config.clone()).await.unwrap();
    let job = record(1);
    assert_eq!(store.put_job(&job, Revision::NONE).await.unwrap(), Acceptance::Accepted);
    let part = PartId { job: job.id, index: 0 };
    block_in_place(|| old.wait_for_copy(&new));

    new.lead();
    old.follow(&new);
    line.lead_to(&new);
    let begin = Instant::now();
    accepts(&store).await;
    assert!(begin.elapsed() < SOON, "it took {:?}", begin.elapsed());
    // Waiters also learn of an end on the new one: the subscription was renewed.
    sleep(Duration::from_secs(1)).await;
    let waiting = store.wait(store.watch(job.id), CALL_TIMEOUT);
    let answer = result(0, "dog");
    let (job, stored) = tokio::join!(waiting, store.put_part(part, &answer));
    assert_eq!(stored.unwrap(), Stored::First);
    assert!(job.unwrap().unwrap().is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_master_is_the_wrong_server() {
    let server = RedisServer::start();
    server.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).unwrap();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    wrong_server(&store, "MASTERDOWN").await;
    server.lead();
    accepts(&store).await;
}

/// Starts a node of a cluster; returns it and the port for other nodes. By default that is 10,000 above its own, among
/// the system's ephemeral ports.
fn start_cluster_node() -> (RedisServer, u16) {
    let bus_port = free_port();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus_port.to_string()];
    (RedisServer::start_with_options(Durability::Always, &options), bus_port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_its_slots_is_waited_for() {
    let (server, _) = start_cluster_node();
    let store = RedisStore::new(config(server.url())).unwrap();
    wrong_server(&store, "CLUSTERDOWN").await;
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    accepts(&store).await;
}

/// In a cluster a node redirects to the node with the keys; the address must lead there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_keys_have_moved_is_left() {
    let ((old, _), (new, bus_port)) = (start_cluster_node(), start_cluster_node());
    new.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    old.command(&["CLUSTER", "MEET", "127.0.0.1", &new.port().to_string(), &bus_port.to_string()]).unwrap();
    let met = async {
        while !old.command(&["CLUSTER", "INFO"]).unwrap().contains("cluster_state:ok") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), met).await.expect("the nodes know each other");
    let line = Line::to(&old).await;
    let store = RedisStore::new(config(line.url())).unwrap();
    wrong_server(&store, "MOVED").await;
    line.lead_to(&new);
    accepts(&store).await;
}

/// The check whether jobs are accepted is faster than a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_or_is_gone_is_told_soon() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    server.freeze();
    wrong_server(&store, "does not answer").await;
    server.thaw();
    accepts(&store).await;
    tokio::task::block_in_place(|| server.kill());
    wrong_server(&store, "refused").await;
    tokio::task::block_in_place(|| server.restart());
    accepts(&store).await;
}

/// A connection without answers is replaced within a call, however long it stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_replaced_within_a_call() {
    let server = RedisServer::start();
    let line = Line::to(&server).await;
    let store = RedisStore::connect(config(line.url())).await.unwrap();
    line.fall_silent();
    let begin = Instant::now();
    accepts(&store).await;
    assert!(begin.elapsed() < CALL_TIMEOUT / 2, "it took {:?}", begin.elapsed());
}

/// An answer is lost with its connection: the call is repeated, and returns what the first one did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_answer_was_lost_is_repeated_and_counts_once() {
    let server = RedisServer::start();
    let line = Line::to(&server).await;
    let config = config(line.url());
    let store = RedisStore::connect(config.clone()).await.unwrap();
    // Once without losses, so that the server knows every script, and once with them.
    for loses in [false, true] {
        let lose = || {
            if loses {
                line.lose_next_answer()
            }
        };
        let fleet = store.fleet().await.unwrap().revision;
        let job = record(2);
        let part = |index| PartId { job: job.id, index };
        let later = job.deadline.after(Duration::from_secs(60));

        lose();
        assert_eq!(store.put_job(&job, fleet).await.unwrap(), Acceptance::Accepted);
        lose();
        assert_eq!(store.begin_try(part(0), 0).await.unwrap(), 1);
        assert_eq!(store.begin_try(part(0), 0).await.unwrap(), 2);
        lose();
        store.end_try(part(0), 0).await.unwrap();
        assert_eq!(store.begin_try(part(0), 0).await.unwrap(), 2);
        lose();
        let failure = failed(common::messages::JobFailure::Internal);
        assert_eq!(store.put_part(part(0), &failure).await.unwrap(), Stored::First);
        lose();
        assert_eq!(store.reopen_part(part(0), later).await.unwrap(), Some(part(2)));
        store.put_part(part(1), &result(1, "cat")).await.unwrap();
        lose();
        assert_eq!(store.put_part(part(2), &result(0, "dog")).await.unwrap(), Stored::First);
        assert!(store.job(job.id).await.unwrap().unwrap().is_finished());
        lose();
        assert!(store.cancel_job(job.id).await.unwrap());
        assert!(!store.cancel_job(job.id).await.unwrap());
        lose();
        let replaced = store.replace_fleet(fleet, &common::fleet::FleetState::default(), None).await.unwrap();
        let Replacement::Done(revision) = replaced else { panic!("{replaced:?}") };
        assert_eq!(store.fleet().await.unwrap().revision, revision);
        assert!(!loses || line.has_lost_it());
    }
}
