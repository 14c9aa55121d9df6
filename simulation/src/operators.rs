//! Operators: swaps, rollbacks and replays.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep_until, timeout};

use crate::plan::{MODELS, Order, What};
use crate::process::{Answer, NoReply, request};
use crate::world::World;

/// Carries out one order of the plan.
pub async fn order(world: Arc<World>, order: Order) {
    sleep_until(world.trace.moment(order.at)).await;
    // The answer only matters to the operator: the effect shows in the store.
    let _ = give(&world, &order).await;
}

/// Gives an order, and checks the answer.
///
/// # Errors
/// [`NoReply`].
pub async fn give(world: &World, order: &Order) -> Result<Answer, NoReply> {
    let (method, path) = match order.what {
        What::Swap(model) => ("PUT", format!("/classifier/prediction-service/{}", MODELS[model])),
        What::Rollback => ("POST", "/classifier/prediction-service/rollback".to_owned()),
        What::Replay => ("POST", "/classifier/dead-letters/replay".to_owned()),
    };
    let sent = world.trace.elapsed();
    let process = world.api(order.api);
    // The order counts from when it is sent.
    if timeout(order.patience, process.ties.pulse.beat()).await.is_err() {
        return Err(NoReply::Late);
    }
    world.promises.ordered(order.what);
    world.trace.note(|| format!("operator: {:?} through a{}", order.what, order.api));
    let answer = process.ask(request(method, &path, &[], None), order.patience).await;
    world.trace.note(|| match &answer {
        Ok(answer) => format!("operator: {:?} is {} {}", order.what, answer.status.as_u16(), answer.code()),
        Err(none) => format!("operator: {:?} is {none:?}", order.what),
    });
    if let Ok(answer) = &answer {
        check(world, order, sent, answer);
    }
    answer
}

fn check(world: &World, order: &Order, sent: u64, answer: &Answer) {
    let now = world.trace.elapsed();
    let promises = &world.promises;
    let forgot = promises.forgot(sent, now);
    let violation = |what: &str| world.trace.violation(&format!("{:?}: {what}", order.what));
    match (answer.status.as_u16(), answer.code(), order.what) {
        (200, _, What::Swap(model)) => {
            if !promises.was_committed_since(sent, MODELS[model])
                && !forgot
                && !is_active(world, MODELS[model])
            {
                violation("was answered 200, and the model never became active");
            }
        }
        (200, _, What::Rollback | What::Replay) | (202, ..) => {}
        // Another rollout is running, perhaps an abandoned one.
        (409, "rollout_running", _) | (422, "nothing_to_roll_back_to", What::Rollback) => {}
        (404, "unknown_rollout", _) if forgot => {}
        (429, _, What::Replay) if world.broker.was_full_since(sent) => {}
        (503, ..) => {
            if !promises.excuses_failure(sent.saturating_sub(10_000), now) {
                violation(&format!("503 without a fault: {}", answer.body));
            }
            if !answer.headers.contains_key("retry-after") {
                violation("503 does not say when to come again");
            }
        }
        _ => violation(&format!("was answered {} {}", answer.status, answer.body)),
    }
}

fn is_active(world: &World, model: &str) -> bool {
    world.store.state().fleet().value.active.as_ref().is_some_and(|active| active.name.as_str() == model)
}

/// An order that is not in the plan.
#[must_use]
pub fn swap_now(world: &World, api: usize, model: usize) -> Order {
    Order { at: world.trace.elapsed(), api, what: What::Swap(model), patience: Duration::from_secs(20) }
}
