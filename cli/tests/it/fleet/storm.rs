//! The storm: everything that can die dies while clients ask and the model changes.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::broker::rabbitmq::{RabbitMqBroker, RabbitMqConfig};
use common::broker::{Broker, BrokerLimits};
use common::testing::Process;
use reqwest::StatusCode;

use super::client::{Answer, Client, Image, images};
use super::programs::{Api, Fleet, Settings, eventually};

/// How much of everything.
struct Storm {
    jobs: usize,
    worker_kills: usize,
    api_kills: usize,
    swaps: usize,
    restarts: usize,
}

const SHORT: Storm = Storm { jobs: 150, worker_kills: 6, api_kills: 1, swaps: 4, restarts: 1 };
const LONG: Storm = Storm { jobs: 2000, worker_kills: 50, api_kills: 8, swaps: 20, restarts: 3 };

const CLIENTS: usize = 4;
const WORKERS: usize = 3;

/// Clients give up a job long after the fleet should have healed.
const SETTINGS: Settings<'static> =
    &[("API_JOB_DEADLINE", "300"), ("API_MAX_WAIT", "60"), ("LOG_FILTER", "info")];

/// What happened, counted.
#[derive(Default)]
struct Tally {
    jobs: AtomicUsize,
    images: AtomicUsize,
    polled: AtomicUsize,
    /// The generation of the last swap that answered 200: requests sent from then on get it or a later.
    floor: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_is_lost_or_answered_wrongly_in_a_storm() {
    let storm = match std::env::var("STORM").as_deref() {
        Ok("long") => LONG,
        Ok(other) => panic!("STORM is {other:?}, expected `long` or nothing"),
        Err(_) => SHORT,
    };
    let mut fleet = Fleet::new();
    let apis = vec![fleet.api(SETTINGS), fleet.api(SETTINGS)];
    let workers: Vec<_> = (0..WORKERS).map(|_| fleet.worker(SETTINGS)).collect();
    let client = Client::new(apis.iter().map(Api::url));
    client.workers_are_ready(WORKERS).await;
    let answer = client.swap(0, "blue").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    let tally = Arc::new(Tally::default());
    let began = Instant::now();
    let asking: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(ask(client.clone(), number, storm.jobs / CLIENTS, tally.clone())))
        .collect();
    let mut destruction = Destruction {
        fleet,
        apis,
        workers,
        client: client.clone(),
        dice: Dice(0x9E37_79B9),
        tally: tally.clone(),
    };
    destruction.run(&storm).await;
    let mut faults = Vec::new();
    for client in asking {
        faults.extend(client.await.unwrap());
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}\n{}",
        faults.len(),
        faults.join("\n"),
        destruction.fleet.logs()
    );
    // Past libtest's capture: the numbers are shown also where all went well.
    let _ = writeln!(
        std::io::stderr(),
        "storm: {} jobs with {} images ({} polled), {} workers and {} APIs killed, {} swaps, {} restarts of \
         each server, in {:.0} s",
        tally.jobs.load(Ordering::Relaxed),
        tally.images.load(Ordering::Relaxed),
        tally.polled.load(Ordering::Relaxed),
        storm.worker_kills,
        storm.api_kills,
        storm.swaps,
        storm.restarts,
        began.elapsed().as_secs_f64(),
    );
    destruction.nothing_is_left().await;
}

/// One client: batches of 1 to 64 images, each finished before the next. Returns what went wrong.
async fn ask(client: Client, number: usize, jobs: usize, tally: Arc<Tally>) -> Vec<String> {
    let all = images();
    let mut dice = Dice(number as u64 + 1);
    let mut faults = Vec::new();
    for turn in 0..jobs {
        let count = if dice.below(4) == 0 { 1 + dice.below(64) } else { 1 + dice.below(8) };
        let batch: Vec<Image> = (0..count).map(|_| all[dice.below(all.len())].clone()).collect();
        let wait = ["respond-async", "wait=1", "wait=20"][dice.below(3)];
        let floor = tally.floor.load(Ordering::SeqCst);
        match client.insist(number + turn, &batch, wait).await {
            Ok(answer) => faults.extend(judge(&client, &answer, &batch, floor).await),
            Err(fault) => faults.push(fault),
        }
        tally.jobs.fetch_add(1, Ordering::Relaxed);
        tally.images.fetch_add(count, Ordering::Relaxed);
        tally.polled.fetch_add(usize::from(wait == "respond-async"), Ordering::Relaxed);
    }
    faults
}

/// What is wrong with an answer to a request that was sent when `floor` was the youngest finished swap.
async fn judge(client: &Client, answer: &Answer, batch: &[Image], floor: u64) -> Option<String> {
    if let Some(fault) = answer.fault(batch) {
        return Some(fault);
    }
    if answer.generation() < floor {
        return Some(format!("accepted after swap {floor}, answered by generation {}", answer.generation()));
    }
    // Asked again, at whichever process, the job has the same answer.
    let id = answer.header("x-prediction-id");
    let again = eventually("the prediction can be read again", || client.poll(batch.len(), id, "0")).await;
    (again.body != answer.body).then(|| format!("{id} has two answers: {} and {}", answer.body, again.body))
}

/// Kills, restarts and swaps, one after the other with short pauses.
struct Destruction {
    fleet: Fleet,
    apis: Vec<Api>,
    workers: Vec<Process>,
    client: Client,
    dice: Dice,
    tally: Arc<Tally>,
}

#[derive(Clone, Copy)]
enum Blow {
    KillWorker,
    KillApi,
    Swap,
    RestartRabbitMq,
    RestartRedis,
}

impl Destruction {
    async fn run(&mut self, storm: &Storm) {
        let mut blows = Vec::new();
        for (blow, count) in [
            (Blow::KillWorker, storm.worker_kills),
            (Blow::KillApi, storm.api_kills),
            (Blow::Swap, storm.swaps),
            (Blow::RestartRabbitMq, storm.restarts),
            (Blow::RestartRedis, storm.restarts),
        ] {
            blows.extend(std::iter::repeat_n(blow, count));
        }
        let mut model = "green";
        while !blows.is_empty() {
            let pause = 200 + self.dice.below(800) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let chosen = self.dice.below(blows.len());
            match blows.swap_remove(chosen) {
                Blow::KillWorker => self.kill_worker(),
                Blow::KillApi => self.kill_api(),
                Blow::Swap => {
                    self.swap(model).await;
                    model = if model == "green" { "blue" } else { "green" };
                }
                Blow::RestartRabbitMq => {
                    tokio::task::block_in_place(|| {
                        self.fleet.rabbitmq.kill();
                        self.fleet.rabbitmq.restart();
                    });
                }
                Blow::RestartRedis => {
                    tokio::task::block_in_place(|| {
                        self.fleet.redis.kill();
                        self.fleet.redis.restart();
                    });
                }
            }
        }
    }

    fn kill_worker(&mut self) {
        let chosen = self.dice.below(self.workers.len());
        self.workers[chosen].kill();
        self.workers[chosen] = self.fleet.worker(SETTINGS);
    }

    fn kill_api(&mut self) {
        let chosen = self.dice.below(self.apis.len());
        self.apis[chosen].process.kill();
        let port = self.apis[chosen].port;
        self.apis[chosen] = tokio::task::block_in_place(|| self.fleet.api_on(port, SETTINGS));
    }

    /// Swaps to `model`, again for as long as deaths in between roll it back.
    async fn swap(&mut self, model: &str) {
        let via = self.dice.below(2);
        eventually(&format!("the fleet is swapped to {model}"), async || {
            let answer = self.client.swap(via, model).await.ok()?;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
        let fleet = eventually("the fleet can be looked at", || self.client.fleet()).await;
        assert_eq!(fleet["model"], model, "{fleet}");
        self.tally.floor.store(fleet["generation"].as_u64().unwrap(), Ordering::SeqCst);
    }

    /// Everybody leaves in peace; the queue is empty and the store holds nothing that stays.
    async fn nothing_is_left(&mut self) {
        self.client.workers_are_ready(WORKERS).await;
        let config = RabbitMqConfig {
            url: self.fleet.rabbitmq.url(),
            prefix: "classifier".to_owned(),
            limits: BrokerLimits { max_parts: 2000, call_timeout: Duration::from_secs(10) },
        };
        for worker in &mut self.workers {
            worker.stop();
        }
        for api in &mut self.apis {
            api.process.stop();
        }
        let depth = RabbitMqBroker::connect(config).await.unwrap().depth().await.unwrap();
        assert_eq!((depth.waiting, depth.dead_letters), (0, 0), "{depth:?}");
        let lasting = self.keys_that_last();
        assert!(lasting.len() <= 2, "only the fleet's state and its index may stay: {lasting:?}");
    }

    /// Names of the keys in Redis that have no time to live.
    fn keys_that_last(&self) -> BTreeSet<String> {
        let script = "local l = {} for _, k in ipairs(redis.call('KEYS', '*')) do \
                      if redis.call('TTL', k) == -1 then l[#l + 1] = k end end return l";
        let out = std::process::Command::new("redis-cli")
            .args(["-p", &self.fleet.redis.port().to_string(), "EVAL", script, "0"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// A small reproducible source of chance (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
