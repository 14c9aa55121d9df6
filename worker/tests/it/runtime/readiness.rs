//! A worker's readiness: whether it takes jobs, and if not, why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::broker::in_process::InProcessBroker;
use common::broker::{
    Broker, BrokerError, Consumer, DeadLetter, Delivery, Hint, Listener, QueueDepth, TakenDeadLetter,
    WhichLetters,
};
use common::fleet::{FleetState, WorkerReport};
use common::messages::Part;
use common::program::healthcheck;
use common::store::Store as _;
use worker::health::{self, Pages};
use worker::run::Parts;

use super::bench::{Bench, FOREVER, Running, named, other_version, parts};
use super::engine::Double;
use super::faulty_store::{Call, FaultyStore, away};

/// Serves the worker's pages.
async fn pages(worker: Option<&Running>) -> (SocketAddr, Arc<Pages>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Pages::new(Arc::new(|| "classifier_up 1\n".to_owned()));
    if let Some(worker) = worker {
        pages.started(Arc::clone(&worker.control));
    }
    tokio::spawn(health::serve(listener, Arc::clone(&pages)));
    (address, pages)
}

/// Polls until the worker's reason for taking no jobs contains these words.
async fn until_it_says(address: SocketAddr, words: &str) {
    let says = async {
        loop {
            let reply = healthcheck(address, "/health/ready").await;
            if reply.is_err_and(|error| error.to_string().contains(words)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FOREVER, says).await.unwrap_or_else(|_| panic!("it never says `{words}`"));
}

/// Polls until the worker's report has this state.
async fn until_it_reports(bench: &Bench, holds: impl Fn(&WorkerReport) -> bool) -> WorkerReport {
    let reports = async {
        loop {
            if let Some(report) = bench.store.workers().await.unwrap().pop().filter(&holds) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(FOREVER, reports).await.expect("it never reports that")
}

#[tokio::test]
async fn a_worker_is_ready_while_it_takes_jobs() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    let (address, pages) = pages(None).await;
    until_it_says(address, "takes no jobs now: starting").await;
    pages.started(Arc::clone(&worker.control));
    healthcheck(address, "/health/ready").await.unwrap();
    worker.stop().await.unwrap();
    until_it_says(address, "takes no jobs now: stopping").await;
}

#[tokio::test]
async fn a_worker_without_the_active_model_says_why() {
    let bench = Bench::new().await;
    let fleet = bench.store.fleet().await.unwrap();
    let missing = FleetState { active: Some(other_version(&bench.model)), ..fleet.value };
    bench.store.replace_fleet(fleet.revision, &missing, None).await.unwrap();
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    let (address, _pages) = pages(Some(&worker)).await;
    until_it_says(address, "the active model cannot be loaded: package `double` is version").await;

    // The version on disk is reported, so that it can be chosen.
    let report = until_it_reports(&bench, |report| report.found.is_some()).await;
    assert_eq!(report.found, Some(bench.model.version.clone()));
    assert!(report.problem.unwrap().contains("is version"));

    let fleet = bench.store.fleet().await.unwrap();
    let there = FleetState { active: Some(bench.model.clone()), ..fleet.value };
    bench.store.replace_fleet(fleet.revision, &there, None).await.unwrap();
    until_it_reports(&bench, |report| report.found.is_none() && report.problem.is_none()).await;
    healthcheck(address, "/health/ready").await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_cut_off_from_the_store_says_so() {
    let bench = Bench::new().await;
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&is_cut);
    let (store, _calls) = FaultyStore::new(&bench, move |call| {
        if call == Call::Fleet && cut.load(Ordering::Acquire) { away() } else { Ok(()) }
    });
    let (engine, _ears) = Double::new();
    let worker = bench.worker_on(store, &engine, &[]);
    let (address, _pages) = pages(Some(&worker)).await;
    healthcheck(address, "/health/ready").await.unwrap();
    is_cut.store(true, Ordering::Release);
    until_it_says(address, "cut off from the store: the store is out of reach").await;
    is_cut.store(false, Ordering::Release);
    until_it_reports(&bench, |_| true).await;
    healthcheck(address, "/health/ready").await.unwrap();
    worker.stop().await.unwrap();
}

/// A broker that gives no consumers for a while, or one that has ended and cannot be stopped.
struct FaultyBroker {
    broker: Arc<InProcessBroker>,
    refuses: AtomicBool,
    ends: AtomicBool,
}

struct EndedConsumer;

#[async_trait]
impl Consumer for EndedConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        Err(BrokerError::Unavailable("the queue was deleted".to_owned()))
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        if self.refuses.load(Ordering::Acquire) {
            return Err(BrokerError::Refused("access to the queue was refused".to_owned()));
        }
        if self.ends.swap(false, Ordering::AcqRel) {
            return Ok(Box::new(EndedConsumer));
        }
        self.broker.consume(prefetch).await
    }

    async fn can_publish(&self) -> Result<(), BrokerError> {
        self.broker.can_publish().await
    }

    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        self.broker.publish(part).await
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.broker.depth().await
    }

    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        self.broker.broadcast(hint).await
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        self.broker.listen().await
    }

    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        self.broker.dead_letter(part, reason).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        self.broker.dead_letters(limit).await
    }

    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError> {
        self.broker.take_dead_letters(which).await
    }
}

fn faulty_broker(bench: &Bench, refuses: bool) -> Arc<FaultyBroker> {
    Arc::new(FaultyBroker {
        broker: Arc::clone(&bench.broker),
        refuses: AtomicBool::new(refuses),
        ends: AtomicBool::new(!refuses),
    })
}

#[tokio::test]
async fn a_worker_that_gets_no_place_at_the_queue_is_not_ready_and_says_why() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let broker = faulty_broker(&bench, true);
    let parts = Parts { broker: Arc::clone(&broker) as _, ..bench.parts(&engine) };
    let worker = Bench::start(parts, &[]);
    let (address, _pages) = pages(Some(&worker)).await;
    let why = "cannot take jobs from the queue: the broker refuses: access to the queue was refused";
    until_it_says(address, why).await;
    until_it_reports(&bench, |report| report.problem.as_deref() == Some(why)).await;

    broker.refuses.store(false, Ordering::Release);
    until_it_reports(&bench, |report| report.problem.is_none()).await;
    healthcheck(address, "/health/ready").await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_consumer_whose_stream_has_ended_is_not_waited_for() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let broker = faulty_broker(&bench, false);
    let worker = Bench::start(Parts { broker, ..bench.parts(&engine) }, &[]);
    let job = bench.submit(&parts(&[&[1]])).await;
    let labels = tokio::time::timeout(Duration::from_secs(10), bench.labels(job)).await;
    assert_eq!(labels.expect("it takes jobs again"), named([1]));
    worker.stop().await.unwrap();
}
