//! What Redis will certainly refuse fails at once, with its cause, and works again as soon as it is fixed.

use std::time::Duration;

use common::ids::Revision;
use common::messages::PartId;
use common::store::redis::{RedisConfig, RedisStore};
use common::store::{Acceptance, Store, StoreError, Stored, Wanted};
use testing::samples::{keyed_record, record, result};
use testing::{Durability, RedisServer, unique_prefix};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Far longer than a refusal takes, far shorter than a call with retries.
const AT_ONCE: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

fn config(url: String) -> RedisConfig {
    RedisConfig { url, prefix: unique_prefix(), call_timeout: CALL_TIMEOUT }
}

fn url(server: &RedisServer, login: &str, database: &str) -> String {
    format!("redis://{login}127.0.0.1:{}/{database}", server.port())
}

fn config_set(server: &RedisServer, name: &str, value: &str) {
    server.command(&["CONFIG", "SET", name, value]).unwrap();
}

/// Every call that may not write fails at once, with the reason.
async fn refused(store: &RedisStore, cause: &str) {
    let begin = Instant::now();
    let (plain, keyed) = (record(1), keyed_record(1, "key", 1));
    for outcome in [
        store.can_write().await,
        store.put_job(&plain, Revision::NONE).await.map(drop),
        store.put_job(&keyed, Revision::NONE).await.map(drop),
        store.replace_fleet(Revision::NONE, &common::fleet::FleetState::default(), None).await.map(drop),
    ] {
        let Err(StoreError::Refused(text)) = &outcome else { panic!("{cause}: {outcome:?}") };
        assert!(text.contains(cause), "{cause}: {text}");
    }
    assert!(begin.elapsed() < AT_ONCE, "{cause}: it took {:?}", begin.elapsed());
}

async fn accepts(store: &RedisStore) {
    let accepting = async { while store.can_write().await.is_err() {} };
    timeout(Duration::from_secs(30), accepting).await.expect("it takes jobs again");
    assert_eq!(store.put_job(&record(1), Revision::NONE).await.unwrap(), Acceptance::Accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_refuses_new_jobs_and_lets_accepted_ones_end() {
    let server = RedisServer::start();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    let accepted = keyed_record(1, "another key", 1);
    let part = PartId { job: accepted.id, index: 0 };
    store.put_job(&accepted, Revision::NONE).await.unwrap();
    config_set(&server, "maxmemory", "1");
    refused(&store, "OOM").await;
    store.confirm_job(accepted.id).await.unwrap();
    assert_eq!(store.begin_part(part).await.unwrap(), Wanted::Yes);
    assert_eq!(store.begin_try(part, 0).await.unwrap(), 1);
    store.end_try(part, 0).await.unwrap();
    assert_eq!(store.put_part(part, &result(0, "dog")).await.unwrap(), Stored::First);
    assert!(store.job(accepted.id).await.unwrap().unwrap().is_finished());
    assert!(store.cancel_job(accepted.id).await.unwrap());
    config_set(&server, "maxmemory", "0");
    accepts(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_are_a_refusal() {
    let server = RedisServer::start();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    config_set(&server, "min-replicas-to-write", "1");
    refused(&store, "NOREPLICAS").await;
    config_set(&server, "min-replicas-to-write", "0");
    accepts(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_is_a_refusal() {
    let server = RedisServer::start();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    // A folder of that name blocks the file, for every user.
    let in_the_way = server.folder().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    config_set(&server, "save", "3600 1");
    let save = async || {
        let _ = server.command(&["BGSAVE"]);
        while server.command(&["INFO", "persistence"]).unwrap().contains("rdb_bgsave_in_progress:1") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    save().await;
    refused(&store, "MISCONF").await;
    std::fs::remove_dir(&in_the_way).unwrap();
    save().await;
    accepts(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_permissions_are_a_refusal_wherever_they_are_missing() {
    let server = RedisServer::start();
    for (rules, cause) in [
        (&["~*", "&*", "+time"][..], "NOPERM"),
        (&["~another:*", "&*", "+@all"], "NOPERM"),
        (&["~*", "&*", "+@all", "-hset"], "script"),
        (&["~*", "&*", "+@all", "-time"], "NOPERM"),
    ] {
        let command = [&["ACL", "SETUSER", "someone", "reset", "on", ">word"], rules].concat();
        server.command(&command).unwrap();
        let store = RedisStore::new(config(url(&server, "someone:word@", "0"))).unwrap();
        refused(&store, cause).await;
        server.command(&["ACL", "SETUSER", "someone", "reset", "on", ">word", "~*", "&*", "+@all"]).unwrap();
        accepts(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_is_reported_in_the_servers_words() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "someone", "on", ">word", "~*", "&*", "+@all"]).unwrap();
    for (login, database, cause) in [
        ("someone:wrong@", "0", "WRONGPASS"),
        ("nobody:word@", "0", "WRONGPASS"),
        ("someone@", "0", "WRONGPASS"),
        (":word@", "0", "without any password"),
        ("someone:word@", "16", "DB index is out of range"),
    ] {
        let store = RedisStore::new(config(url(&server, login, database))).unwrap();
        refused(&store, cause).await;
        assert!(matches!(store.fleet().await, Err(StoreError::Refused(_))), "{cause}");
    }
    server.command(&["ACL", "SETUSER", "default", "off"]).unwrap();
    let store = RedisStore::new(config(url(&server, "", "0"))).unwrap();
    refused(&store, "NOAUTH").await;
    let store = RedisStore::new(config(url(&server, "someone:word@", "15"))).unwrap();
    accepts(&store).await;
}

/// Fifty callers call all the time for five seconds: one login is tried at intervals for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_logins_are_tried_by_one_for_all() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "someone", "on", ">other", "~*", "&*", "+@all"]).unwrap();
    let store = RedisStore::new(config(url(&server, "someone:word@", "0"))).unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        callers.spawn(async move {
            while Instant::now() < until {
                let begin = Instant::now();
                assert!(matches!(store.fleet().await, Err(StoreError::Refused(_))));
                assert!(begin.elapsed() < AT_ONCE);
                sleep(Duration::from_millis(10)).await;
            }
        });
    }
    callers.join_all().await;
    let stats = server.command(&["INFO", "errorstats"]).unwrap();
    let count = stats.split("errorstat_WRONGPASS:count=").nth(1).unwrap();
    let count: u32 = count.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!((2..=16).contains(&count), "{count} logins were tried");
    server.command(&["ACL", "SETUSER", "someone", ">word"]).unwrap();
    accepts(&store).await;
}

/// While Redis loads its data after a start, a call waits for it and a probe reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_loading_is_waited_for() {
    let mut server = RedisServer::start_with(Durability::EverySecond);
    let script = "for number = 1, 6000 do redis.call('SET', 'filler:' .. number, number) end";
    server.command(&["EVAL", script, "0"]).unwrap();
    let store = RedisStore::connect(config(server.url())).await.unwrap();
    tokio::task::block_in_place(|| {
        server.stop();
        // Microseconds per key; other commands are served after every thousand keys.
        server.restart_with_options(&["--key-load-delay", "1000"]);
    });
    let told = store.can_write().await;
    let Err(StoreError::Unavailable(_)) = &told else { panic!("{told:?}") };
    let raw = server.command(&["GET", "filler:1"]).unwrap_err();
    assert!(raw.contains("LOADING") || raw.contains("BusyLoading"), "{raw}");
    assert_eq!(store.put_job(&record(1), Revision::NONE).await.unwrap(), Acceptance::Accepted);
}
