//! The storm: all kinds of faults, while clients send requests and the model changes.
//!
//! `STORM=long` takes minutes, `STORM_SEED` chooses another order, and with `FLEET_RELEASES=mixed` programs of the
//! previous release do half of the work, and get only the faults that it tolerates.

mod aftermath;
mod blows;
mod clients;
mod dice;
mod operator;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use reqwest::StatusCode;

use super::client::Client;
use super::programs::{Fleet, releases_are_mixed};
use blows::{Blow, Destruction};
use clients::{CLIENTS, Tally, ask};
use dice::Dice;

/// The amounts.
struct Storm {
    jobs: usize,
    blows: &'static [(Blow, usize)],
}

const SHORT: Storm = Storm {
    jobs: 120,
    blows: &[
        (Blow::KillWorker, 4),
        (Blow::KillApi, 1),
        (Blow::Swap, 3),
        (Blow::KillRabbitMq, 1),
        (Blow::KillRedis, 1),
        (Blow::StopWorker, 1),
        (Blow::StopApi, 1),
        (Blow::Cut, 4),
        (Blow::Reset, 2),
        (Blow::DeleteQueue, 1),
        (Blow::Alarm, 1),
        (Blow::RestoreRedis, 1),
    ],
};

const LONG: Storm = Storm {
    jobs: 2000,
    blows: &[
        (Blow::KillWorker, 50),
        (Blow::KillApi, 8),
        (Blow::Swap, 24),
        (Blow::KillRabbitMq, 3),
        (Blow::KillRedis, 3),
        (Blow::StopWorker, 10),
        (Blow::StopApi, 4),
        (Blow::StopRabbitMq, 2),
        (Blow::StopRedis, 2),
        (Blow::Cut, 40),
        (Blow::Reset, 15),
        (Blow::DeleteQueue, 3),
        (Blow::DeleteVirtualHost, 2),
        (Blow::Alarm, 4),
        (Blow::RestoreRedis, 4),
    ],
};

/// Returns whether the long forms of the tests are wanted.
pub(super) fn is_long() -> bool {
    match std::env::var("STORM").as_deref() {
        Ok("long") => true,
        Ok("") | Err(_) => false,
        Ok(other) => panic!("STORM is {other:?}, expected `long` or nothing"),
    }
}

/// Returns the seed of the storm.
fn seed() -> u64 {
    match std::env::var("STORM_SEED").as_deref() {
        Ok("") | Err(_) => 1,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("STORM_SEED is {text:?}, expected a number")),
    }
}

/// Prints past libtest's capture: it is shown also if the test passes.
pub(super) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_or_answered_wrongly_in_a_storm() {
    let storm = if is_long() { LONG } else { SHORT };
    let seed = seed();
    tell(&format!("storm: STORM_SEED={seed}"));
    let mut destruction = Destruction::over(Fleet::new(), Dice::new(seed));
    let client = Client::new(destruction.urls());
    client.workers_are_ready(blows::WORKERS).await;
    let answer = client.swap(0, "blue").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // With a model: a store that never had one rightly refuses requests.
    destruction.save();

    let blows: Vec<Blow> = storm
        .blows
        .iter()
        .filter(|(blow, _)| !releases_are_mixed() || blow.was_borne_before())
        .flat_map(|(blow, count)| std::iter::repeat_n(*blow, *count))
        .collect();
    let (began, count) = (Instant::now(), blows.len());
    let tally = Arc::new(Tally::default());
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let dice = Dice::new(seed.wrapping_add(1 + number as u64));
            tokio::spawn(ask(client.clone(), dice, (number, storm.jobs / CLIENTS), tally.clone()))
        })
        .collect();
    let (url, control) = (destruction.fleet.rabbitmq.url(), destruction.fleet.rabbitmq.control());
    let operator = tokio::spawn(operator::watch(url, control, Arc::clone(&tally)));
    destruction.run(blows, &client, &tally).await;
    let mut faults = Vec::new();
    for client in asking {
        faults.extend(client.await.unwrap());
    }
    assert!(!operator.is_finished(), "{:?}", operator.await);
    operator.abort();
    let logs = destruction.fleet.logs();
    assert!(faults.is_empty(), "seed {seed}: {} faults:\n{}\n{logs}", faults.len(), faults.join("\n"));
    tell(&format!("storm: {tally}, {count} blows, in {:.0} s", began.elapsed().as_secs_f64()));
    destruction.nothing_is_left(&client).await;
}
