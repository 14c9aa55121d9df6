//! Workers that crash: a worker's task is dropped during its work.

use std::sync::{Arc, Mutex};

use common::broker::Broker as _;
use common::fleet::FleetState;
use common::ids::JobId;
use common::package::Package;
use common::store::Store as _;
use engine::{Engine, EngineLoader, LoadError};
use tokio::sync::mpsc;
use worker::run::Parts;

use super::bench::{Bench, named, parts, png};
use super::engine::{Double, Ears, Kind};

/// Runs one worker after the other until the job ends; returns how many died.
async fn outlive(bench: &Bench, engine: &Arc<Double>, ears: &mut Ears, job: JobId) -> usize {
    let mut deaths = 0;
    loop {
        let worker = bench.worker(engine, &["--inference-threads=1"]);
        tokio::select! {
            killed = ears.kills.recv() => {
                killed.unwrap();
                worker.kill().await;
                engine.release();
                deaths += 1;
                assert!(deaths < 20, "it goes on for ever");
            }
            _ = bench.ended(job) => {
                worker.stop().await.unwrap();
                return deaths;
            }
        }
    }
}

#[tokio::test]
async fn the_parts_of_a_dead_worker_are_done_by_another() {
    let bench = Bench::new().await;
    let (dying, mut ears) = Double::new();
    dying.hold();
    let worker = bench.worker(&dying, &[]);
    let job = bench.submit(&parts(&[&[1, 2], &[3], &[4, 5, 6]])).await;
    ears.entered.recv().await.unwrap();
    worker.kill().await;
    dying.release();

    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    assert_eq!(bench.labels(job).await, named(1..=6));
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
    assert_eq!(bench.broker.depth().await.unwrap().dead_letters, 0);
    let mut done: Vec<u8> = engine.calls().concat();
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3, 4, 5, 6], "each image once");
}

#[tokio::test]
async fn an_image_that_kills_three_workers_is_put_aside_and_the_others_get_their_results() {
    let bench = Bench::new().await;
    let (engine, mut ears) = Double::new();
    let images = vec![png(Kind::Normal, 1), png(Kind::Kills, 2), png(Kind::Normal, 3)];
    let job = bench.submit(&[vec![png(Kind::Normal, 0)], images, vec![png(Kind::Normal, 4)]]).await;
    assert_eq!(outlive(&bench, &engine, &mut ears, job).await, 3);
    let expected = ["label 0", "label 1", "image_crashed_worker", "label 3", "label 4"];
    assert_eq!(bench.labels(job).await, expected);

    let dead = bench.broker.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].part.as_ref().unwrap().positions, [2]);
    assert!(dead[0].reason.contains("killed its worker 3 times"), "{}", dead[0].reason);
    bench.assert_nothing_waits().await;
}

#[tokio::test]
async fn two_such_images_in_one_part_cost_nobody_else_anything() {
    let bench = Bench::new().await;
    let (engine, mut ears) = Double::new();
    let images = (0..8).map(|label| match label {
        3 | 6 => png(Kind::Kills, label),
        other => png(Kind::Normal, other),
    });
    let job = bench.submit(&[images.collect()]).await;
    outlive(&bench, &engine, &mut ears, job).await;
    let mut expected = named(0..8);
    expected[3] = "image_crashed_worker".to_owned();
    expected[6] = "image_crashed_worker".to_owned();
    assert_eq!(bench.labels(job).await, expected);
    assert_eq!(bench.broker.dead_letters(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn workers_that_die_for_other_reasons_put_no_image_aside() {
    let bench = Bench::new().await;
    let (engine, mut ears) = Double::new();
    // Each dies once alone: the first image survives all those deaths.
    let images: Vec<_> = (0..6).map(|label| png(Kind::KillsOnce, label)).collect();
    let job = bench.submit(&[images]).await;
    let deaths = outlive(&bench, &engine, &mut ears, job).await;
    assert!(deaths >= 6, "{deaths}");
    assert_eq!(bench.labels(job).await, named(0..6));
    assert!(bench.broker.dead_letters(10).await.unwrap().is_empty());
}

/// Workers die while they load the model. A load goes on until its channel closes.
struct DeadlyLoader(Mutex<mpsc::UnboundedSender<std::sync::mpsc::Sender<()>>>);

impl EngineLoader for DeadlyLoader {
    fn load(&self, _package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        let (open, closed) = std::sync::mpsc::channel();
        self.0.lock().unwrap().send(open).unwrap();
        assert!(closed.recv().is_err());
        Err(LoadError::Unavailable("the worker that loads is dead".to_owned()))
    }
}

#[tokio::test]
async fn a_part_whose_workers_die_before_they_try_an_image_is_put_aside_whole() {
    let bench = Bench::new().await;
    // No model is active: the part's own is loaded only for it.
    let fleet = bench.store.fleet().await.unwrap();
    bench.store.replace_fleet(fleet.revision, &FleetState::default(), None).await.unwrap();
    let job = bench.submit(&parts(&[&[1, 2]])).await;
    let (engine, _ears) = Double::new();
    let (loads, mut hear_loads) = mpsc::unbounded_channel();
    let loader = Arc::new(DeadlyLoader(Mutex::new(loads)));
    let mut deaths = 0;
    let ended = loop {
        let loader = Arc::clone(&loader) as Arc<dyn EngineLoader>;
        let worker = Bench::start(Parts { loader, ..bench.parts(&engine) }, &[]);
        tokio::select! {
            load = hear_loads.recv() => {
                worker.kill().await;
                drop(load);
                deaths += 1;
                assert!(deaths < 20, "it goes on for ever");
            }
            ended = bench.ended(job) => {
                worker.stop().await.unwrap();
                break ended;
            }
        }
    };
    assert_eq!(deaths, 6, "the first, and those that were counted");
    assert!(format!("{ended:?}").contains("Internal"), "{ended:?}");
    let dead = bench.broker.dead_letters(10).await.unwrap();
    assert_eq!(dead[0].part.as_ref().unwrap().positions, [0, 1]);
    assert!(dead[0].reason.contains("5 workers ended before"), "{}", dead[0].reason);
}
