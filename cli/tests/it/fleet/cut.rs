//! Packets between a program and its servers are dropped silently.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testing::Traffic;

use super::client::{Client, images};
use super::load::{Excuse, Load};
use super::programs::{Fleet, Settings, Start, eventually};

/// Much longer than a worker may hold parts that it cannot answer, and much shorter than the cut.
const DEADLINE: Settings<'static> =
    &[("API_JOB_DEADLINE", "20"), ("API_MAX_WAIT", "60"), ("FLEET_CALL_TIMEOUT", "5")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_cut_from_redis_leaves_its_jobs_to_an_idle_one() {
    let mut fleet = Fleet::new();
    let api = fleet.api(DEADLINE);
    let client = Client::new([api.url()]);
    let ways = fleet.ways();
    let _cut = fleet.worker(Start { ways: Some(&ways), settings: DEADLINE, ..Start::default() });
    let _idle = fleet.worker(DEADLINE);
    client.workers_are_ready(2).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let load = Load::start(&client, 6, Excuse::None);
    load.more(20).await;
    ways.redis.set(Traffic::Drop);
    tokio::time::sleep(Duration::from_secs(30)).await;
    load.more(10).await;
    ways.redis.set(Traffic::Pass);
    client.workers_are_ready(2).await;
    load.end(&fleet).await;
}

/// A half accepted job is taken over by the other process after half a minute.
const SETTINGS: Settings<'static> = &[("API_JOB_DEADLINE", "90"), ("FLEET_CALL_TIMEOUT", "5")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_process_that_is_cut_one_way_says_so_and_loses_nothing() {
    let mut fleet = Fleet::new();
    let ways = fleet.ways();
    let cut = fleet.api(Start { ways: Some(&ways), settings: SETTINGS, ..Start::default() });
    let other = fleet.api(SETTINGS);
    let client = Client::new([cut.url(), other.url()]);
    let _worker = fleet.worker(SETTINGS);
    client.workers_are_ready(1).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let load = Load::start(&client, 4, Excuse::None);
    for traffic in [Traffic::DropFromServer, Traffic::DropToServer] {
        for way in [&ways.redis, &ways.rabbitmq] {
            load.more(10).await;
            way.set(traffic);
            let began = Instant::now();
            eventually("the process that is cut says that it is not ready", async || {
                (client.get("/health/ready").await.ok()?.status == StatusCode::SERVICE_UNAVAILABLE)
                    .then_some(())
            })
            .await;
            assert!(began.elapsed() < Duration::from_secs(20), "{traffic:?}: {:?}", began.elapsed());
            load.more(3).await;
            way.set(Traffic::Pass);
            let began = Instant::now();
            eventually("the process works again", async || {
                let batch = images();
                let answer = client.predict(&batch, &[("prefer", "wait=10")]).await.ok()?;
                answer.fault(&batch).is_none().then_some(())
            })
            .await;
            assert!(began.elapsed() < Duration::from_secs(20), "{traffic:?}: {:?}", began.elapsed());
        }
    }
    load.end(&fleet).await;
}
