//! Injects faults into the fleet, one after the other with short pauses.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use testing::{Process, SavedRedis, Traffic, free_port};
use tokio::task::block_in_place;

use super::clients::{Swapped, Tally};
use super::dice::Dice;
use super::is_long;
use crate::fleet::client::Client;
use crate::fleet::programs::{Fleet, Settings, Start, eventually};
use crate::fleet::ways::Ways;

const APIS: usize = 2;
pub(super) const WORKERS: usize = 3;

/// Clients give up a job long after the fleet should have recovered.
const SETTINGS: Settings<'static> = &[("API_JOB_DEADLINE", "300"), ("API_MAX_WAIT", "60")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    KillWorker,
    KillApi,
    Swap,
    KillRabbitMq,
    KillRedis,
    /// The program stops, and another replaces it.
    StopWorker,
    StopApi,
    /// The server stops and comes back.
    StopRabbitMq,
    StopRedis,
    /// Packets between a program and a server are dropped for a while, in one direction or both.
    Cut,
    /// One program loses its connections.
    Reset,
    /// An operator deletes the queue with its content.
    DeleteQueue,
    DeleteVirtualHost,
    /// RabbitMQ has a memory alarm for a while.
    Alarm,
    /// Redis comes back with data from some time ago.
    RestoreRedis,
}

impl Blow {
    /// Returns whether the previous release loses nothing by it.
    pub(super) fn was_borne_before(self) -> bool {
        match self {
            Self::KillWorker
            | Self::KillApi
            | Self::Swap
            | Self::KillRabbitMq
            | Self::KillRedis
            | Self::StopWorker
            | Self::StopApi
            | Self::StopRabbitMq
            | Self::StopRedis
            | Self::Reset => true,
            Self::Cut | Self::DeleteQueue | Self::DeleteVirtualHost | Self::Alarm | Self::RestoreRedis => {
                false
            }
        }
    }
}

/// A program and the proxies before its servers.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) ways: Arc<Ways>,
    /// The port of an API process.
    port: u16,
}

/// The fleet, and the random generator of the faults.
pub(super) struct Destruction {
    pub(super) fleet: Fleet,
    pub(super) apis: Vec<Running>,
    pub(super) workers: Vec<Running>,
    dice: Dice,
    saved: SavedRedis,
    model: &'static str,
}

impl Destruction {
    /// Starts the programs.
    pub(super) fn over(mut fleet: Fleet, dice: Dice) -> Self {
        let apis = (0..APIS).map(|_| start_api(&mut fleet, free_port())).collect();
        let workers = (0..WORKERS).map(|_| start_worker(&mut fleet)).collect();
        let saved = fleet.redis.save();
        Self { fleet, apis, workers, dice, saved, model: "blue" }
    }

    /// Saves the data with which Redis may come back.
    pub(super) fn save(&mut self) {
        self.saved = self.fleet.redis.save();
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.apis.iter().map(|api| format!("http://127.0.0.1:{}", api.port)).collect()
    }

    /// Injects all faults, in a random order.
    pub(super) async fn run(&mut self, mut blows: Vec<Blow>, client: &Client, tally: &Tally) {
        while !blows.is_empty() {
            let pause = 200 + self.dice.below(800) as u64;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let chosen = self.dice.below(blows.len());
            match blows.swap_remove(chosen) {
                Blow::KillWorker => self.replace_worker(Process::kill),
                Blow::StopWorker => self.replace_worker(|process| _ = process.stop()),
                Blow::KillApi => self.replace_api(Process::kill),
                Blow::StopApi => self.replace_api(|process| _ = process.stop()),
                Blow::Swap => self.swap(client, tally).await,
                Blow::KillRabbitMq => block_in_place(|| {
                    self.fleet.rabbitmq.kill();
                    self.fleet.rabbitmq.restart();
                }),
                Blow::StopRabbitMq => block_in_place(|| {
                    self.fleet.rabbitmq.stop();
                    self.fleet.rabbitmq.restart();
                }),
                Blow::KillRedis => block_in_place(|| {
                    self.fleet.redis.kill();
                    self.fleet.redis.restart();
                }),
                Blow::StopRedis => block_in_place(|| {
                    self.fleet.redis.stop();
                    self.fleet.redis.restart();
                }),
                Blow::Cut => self.cut(),
                Blow::Reset => {
                    let ways = self.any_program();
                    ways.rabbitmq.reset();
                    ways.redis.reset();
                }
                Blow::DeleteQueue => self.lose(tally, |fleet| {
                    fleet.rabbitmq.control().delete_queue("classifier.parts");
                }),
                Blow::DeleteVirtualHost => self.lose(tally, |fleet| {
                    fleet.rabbitmq.control().delete_vhost("/");
                    fleet.rabbitmq.control().add_vhost("/");
                }),
                Blow::Alarm => {
                    block_in_place(|| self.fleet.rabbitmq.control().raise_memory_alarm());
                    let length = 500 + self.dice.below(4000) as u64;
                    tokio::time::sleep(Duration::from_millis(length)).await;
                    block_in_place(|| self.fleet.rabbitmq.control().end_memory_alarm());
                }
                Blow::RestoreRedis => {
                    let saved = self.saved.clone();
                    tally.swapped(None);
                    self.lose(tally, |fleet| fleet.redis.restore(&saved));
                }
            }
        }
    }

    /// Actions of an operator that lose jobs, answers or swaps.
    fn lose(&mut self, tally: &Tally, what: impl FnOnce(&mut Fleet)) {
        tally.loss();
        block_in_place(|| what(&mut self.fleet));
        tally.loss();
    }

    fn any_program(&mut self) -> Arc<Ways> {
        let chosen = self.dice.below(APIS + WORKERS);
        let program = self.apis.iter().chain(&self.workers).nth(chosen);
        Arc::clone(&program.expect("it is one of them").ways)
    }

    fn cut(&mut self) {
        let longest = if is_long() { 15_000 } else { 5_000 };
        let length = Duration::from_millis(500 + self.dice.below(longest) as u64);
        let traffic = self.dice.choose(&[Traffic::Drop, Traffic::DropToServer, Traffic::DropFromServer]);
        let (ways, broker) = (self.any_program(), self.dice.below(2) == 0);
        // It continues during the next faults.
        tokio::spawn(async move {
            let way = if broker { &ways.rabbitmq } else { &ways.redis };
            way.set(traffic);
            tokio::time::sleep(length).await;
            way.set(Traffic::Pass);
        });
    }

    fn replace_worker(&mut self, end: impl FnOnce(&mut Process)) {
        let chosen = self.dice.below(WORKERS);
        block_in_place(|| end(&mut self.workers[chosen].process));
        self.workers[chosen] = start_worker(&mut self.fleet);
    }

    fn replace_api(&mut self, end: impl FnOnce(&mut Process)) {
        let chosen = self.dice.below(APIS);
        block_in_place(|| end(&mut self.apis[chosen].process));
        let port = self.apis[chosen].port;
        self.apis[chosen] = block_in_place(|| start_api(&mut self.fleet, port));
    }

    /// Swaps to the other model, and retries as long as crashes roll it back.
    async fn swap(&mut self, client: &Client, tally: &Tally) {
        let model = if self.model == "green" { "blue" } else { "green" };
        let via = self.dice.below(APIS);
        eventually(&format!("the fleet is swapped to {model}"), async || {
            let answer = client.swap(via, model).await.ok()?;
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
        let fleet = eventually("the fleet can be looked at", || client.fleet()).await;
        assert_eq!(fleet["model"], model, "{fleet}");
        let generation = fleet["generation"].as_u64().unwrap();
        tally.swapped(Some(Swapped { generation, model }));
        self.model = model;
        if self.dice.below(2) == 0 {
            self.save();
        }
    }
}

fn start_api(fleet: &mut Fleet, port: u16) -> Running {
    let ways = Arc::new(fleet.ways());
    let start = Start { ways: Some(&ways), settings: SETTINGS, ..Start::default() };
    let process = fleet.api_on(port, start).process;
    Running { process, ways, port }
}

fn start_worker(fleet: &mut Fleet) -> Running {
    let ways = Arc::new(fleet.ways());
    let start = Start { ways: Some(&ways), settings: SETTINGS, ..Start::default() };
    Running { process: fleet.worker(start), ways, port: 0 }
}
