//! An operator deletes things under a running fleet. The queued jobs are lost; the fleet recovers.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testing::RabbitMqControl;

use super::client::Client;
use super::load::{Excuse, Load};
use super::programs::{Fleet, Settings};

/// Clients soon learn that their jobs were deleted.
const SETTINGS: Settings<'static> =
    &[("API_JOB_DEADLINE", "15"), ("API_MAX_WAIT", "60"), ("FLEET_CALL_TIMEOUT", "5")];

/// The fleet works again within this time and the deadline of the deleted jobs.
const HEALED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_whose_queues_are_deleted_makes_them_again() {
    let mut fleet = Fleet::new();
    let api = fleet.api(SETTINGS);
    let client = Client::new([api.url()]);
    let _workers = [fleet.worker(SETTINGS), fleet.worker(SETTINGS)];
    client.workers_are_ready(2).await;
    assert_eq!(client.swap(0, "blue").await.unwrap().status, StatusCode::OK);

    let load = Load::start(&client, 4, Excuse::Lost);
    for what in [delete_the_queue, delete_the_queue_of_dead_letters, delete_the_virtual_host] {
        load.more(20).await;
        tokio::task::block_in_place(|| what(&fleet.rabbitmq.control()));
        let began = Instant::now();
        load.more(20).await;
        assert!(began.elapsed() < HEALED, "{:?}\n{}", began.elapsed(), fleet.logs());
    }
    load.end(&fleet).await;
    // Each worker consumes again; one whose subscription delivers nothing does so once it has noticed that.
    let began = Instant::now();
    loop {
        let consumers = tokio::task::block_in_place(|| {
            fleet.rabbitmq.control().run(&["list_queues", "--no-table-headers", "name", "consumers"])
        });
        if consumers.lines().any(|line| line == "classifier.parts\t2") {
            break;
        }
        assert!(began.elapsed() < HEALED, "{consumers}");
    }
    client.workers_are_ready(2).await;
}

fn delete_the_queue(server: &RabbitMqControl) {
    server.delete_queue("classifier.parts");
}

fn delete_the_queue_of_dead_letters(server: &RabbitMqControl) {
    server.delete_queue("classifier.dead");
}

fn delete_the_virtual_host(server: &RabbitMqControl) {
    server.delete_vhost("/");
    server.add_vhost("/");
}
