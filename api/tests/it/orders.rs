//! An order to change the model is carried out before its deadline or never.

use std::sync::Arc;
use std::time::Duration;

use api::rollout::{Coordinator, RolloutTiming, SwapError, Target};
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerLimits};
use common::ids::{ModelName, ModelVersion};
use common::store::Store;
use common::store::in_memory::InMemoryStore;
use tokio::time::{Instant, sleep, timeout};

use crate::faults::{Mood, SwitchedStore};
use crate::harness::{Answer, Server};

const LONG: Duration = Duration::from_secs(60);

fn target() -> Target {
    Target { name: ModelName::parse("m").unwrap(), version: ModelVersion::from_digest([1; 32]) }
}

fn coordinator() -> (Arc<Coordinator>, Arc<SwitchedStore>) {
    let limits = BrokerLimits { max_parts: 10, max_bytes: None, call_timeout: Duration::from_secs(1) };
    let broker: Arc<dyn Broker> = InProcessBroker::new(limits);
    let store = SwitchedStore::new(InMemoryStore::new());
    (Coordinator::new(broker, Arc::clone(&store) as _, RolloutTiming::default()), store)
}

async fn nothing_began(store: &SwitchedStore) {
    sleep(Duration::from_millis(300)).await;
    let fleet = store.fleet().await.unwrap().value;
    assert_eq!(fleet.rollout, None, "it began after its time");
}

#[tokio::test]
async fn an_order_that_reaches_the_store_after_its_time_is_not_begun() {
    let (coordinator, store) = coordinator();
    store.writes_are(Mood::Late);
    let begun = Instant::now();
    let refused = coordinator.swap(target(), store.now().after(Duration::from_millis(200))).await;
    assert!(matches!(refused, Err(SwapError::TooLate)), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    store.writes_are(Mood::Up);
    nothing_began(&store).await;
}

#[tokio::test]
async fn an_order_that_always_loses_the_race_ends_at_its_deadline() {
    let (coordinator, store) = coordinator();
    store.outruns_everyone();
    let until = store.now().after(Duration::from_millis(300));
    let ended = timeout(Duration::from_secs(20), coordinator.swap(target(), until)).await;
    assert!(matches!(ended, Ok(Err(SwapError::TooLate))), "{ended:?}");
}

#[tokio::test]
async fn an_order_whose_client_hung_up_before_it_began_is_not_begun() {
    let server = Server::bare(&[]).await;
    server.store.writes_are(Mood::Hanging);
    let swapping = tokio::spawn(Answer::of(server.put("/classifier/prediction-service/pets")));
    sleep(Duration::from_millis(300)).await;
    swapping.abort();
    // The server notices that the connection has ended.
    sleep(Duration::from_millis(300)).await;
    server.store.writes_are(Mood::Up);
    nothing_began(&server.store).await;
}

#[tokio::test]
async fn an_order_is_carried_out_although_the_confirmation_of_its_beginning_was_lost() {
    let (coordinator, store) = coordinator();
    store.writes_are(Mood::Late);
    let swapping = {
        let (coordinator, until) = (Arc::clone(&coordinator), store.now().after(LONG));
        tokio::spawn(async move { coordinator.swap(target(), until).await })
    };
    sleep(Duration::from_millis(50)).await;
    store.writes_are(Mood::Up);
    let begun = swapping.await.unwrap().unwrap();
    let rollout = coordinator.wait(begun.id, LONG).await.unwrap().unwrap();
    assert!(rollout.is_ended() && rollout.is_only_recorded(), "{rollout:?}");
}
