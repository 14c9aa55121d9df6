//! Checks that the world heals within a bound after the last fault.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::fleet::{ModelRole, WorkerState};
use serde_json::json;
use tokio::time::{sleep, sleep_until};

use crate::engine::{image, label};
use crate::operators::{give, swap_now};
use crate::plan::MODELS;
use crate::process::request;
use crate::world::World;

/// Everything must be well this long after the last fault, in milliseconds.
const BOUND: u64 = 60_000;

/// Clients send no new requests after this time, in milliseconds.
const QUIET_FROM: u64 = 32_000;

/// Waits until everything is well, and returns how long it took; `None` if it never was.
pub async fn healed(world: &Arc<World>) -> Option<Duration> {
    let calm = world.plan.calm_from().max(QUIET_FROM);
    sleep_until(world.trace.moment(calm)).await;
    world.trace.note(|| "the last fault is over".to_owned());
    let model = usize::try_from(world.plan.seed % 3).unwrap_or(0);
    let mut turn = 0;
    loop {
        let missing = match swapped(world, turn, model).await {
            Some(missing) => Some(missing),
            None => until_well(world, model, calm + BOUND).await,
        };
        let now = world.trace.elapsed();
        match missing {
            None => {
                world.trace.note(|| "all is well".to_owned());
                return Some(Duration::from_millis(now - calm));
            }
            Some(missing) if now > calm + BOUND => {
                world.trace.violation(&format!("not healed after {BOUND} ms: {missing}"));
                return None;
            }
            Some(_) => {}
        }
        turn += 1;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn swapped(world: &World, turn: usize, model: usize) -> Option<String> {
    match give(world, &swap_now(world, turn, model)).await {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("a swap is answered {} {}", answer.status.as_u16(), answer.code())),
        Err(none) => Some(format!("a swap is not answered: {none:?}")),
    }
}

async fn until_well(world: &World, model: usize, last: u64) -> Option<String> {
    loop {
        let missing = missing(world, model).await?;
        if world.trace.elapsed() > last {
            return Some(missing);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Returns what is not well.
async fn missing(world: &World, model: usize) -> Option<String> {
    let load = world.broker.load();
    if load.consumers != world.plan.workers || load.waiting + load.held > 0 {
        return Some(format!("{load:?} with {} workers", world.plan.workers));
    }
    let state = world.store.state();
    let active = state.fleet().value.active.clone();
    if active.as_ref().is_none_or(|active| active.name.as_str() != MODELS[model]) {
        return Some(format!("{active:?} is active, expected {}", MODELS[model]));
    }
    for worker in state.workers(world.store.now()) {
        let mut loaded = worker.loaded.iter().filter(|loaded| loaded.role == ModelRole::Active);
        let follows = loaded.all(|loaded| active.as_ref().is_some_and(|active| active.name == loaded.name));
        if worker.state != WorkerState::Ready || !follows {
            return Some("a worker does not follow".to_owned());
        }
    }
    for api in 0..world.plan.apis {
        if let Some(missing) = unwell(world, api, model).await {
            return Some(missing);
        }
    }
    None
}

async fn unwell(world: &World, api: usize, model: usize) -> Option<String> {
    let patience = Duration::from_secs(20);
    let process = world.api(api);
    match process.ask(request("GET", "/health/ready", &[], None), patience).await {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => return Some(format!("a{api} is not ready: {}", answer.body)),
        Err(none) => return Some(format!("a{api} does not say whether it is ready: {none:?}")),
    }
    let document = json!({"images": [{"image_id": 0, "img_base64": STANDARD.encode(image(7))}]});
    let post = request("POST", "/classifier/predictions", &[("prefer", "wait=10")], Some(&document));
    match process.ask(post, patience).await {
        Ok(answer) if answer.status == 200 => {
            let found = &answer.body["response"]["results"][0]["label"];
            (*found != label(model, 7).as_str()).then(|| format!("a{api} answers {}", answer.body))
        }
        Ok(answer) => Some(format!("a{api} answers a prediction with {} {}", answer.status, answer.body)),
        Err(none) => Some(format!("a{api} does not answer a prediction: {none:?}")),
    }
}
