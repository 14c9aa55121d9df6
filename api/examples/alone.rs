//! The API with workers that answer at once without decoding images, to measure the API itself: from the socket to the
//! broker and back.
//!
//! ```text
//! X_API_KEY=key cargo run --release --example alone -- --listen 127.0.0.1:5050 --models-dir models
//! ```
//!
//! It takes a swap to any package in the models folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Parts;
use clap::Parser;
use common::broker::in_process::InProcessBroker;
use common::broker::{Broker, BrokerLimits};
use common::fleet::{LoadedModel, Phase, Preparation, PreparationState, WorkerReport, WorkerState};
use common::ids::WorkerId;
use common::messages::{ImageOutcome, LabelScore, PartEnd, PartResult, StageTimes, Timestamp};
use common::package::Catalog;
use common::store::in_memory::InMemoryStore;
use common::store::{Store, StoreError};
use common::telemetry;
use tokio_util::sync::CancellationToken;

/// Large limits: only the API is measured.
const LIMITS: BrokerLimits =
    BrokerLimits { max_parts: 2000, max_bytes: None, call_timeout: Duration::from_secs(10) };

/// How often the worker checks for a swap.
const ROUND: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    api: api::config::Config,
    #[arg(long, default_value = "models")]
    models_dir: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let metrics = telemetry::install_metrics(&[telemetry::Role::Api])?;
    let broker: Arc<dyn Broker> = InProcessBroker::new(LIMITS);
    let store: Arc<dyn Store> = InMemoryStore::new();
    let listener = common::program::listen(arguments.api.listen)?;
    let parts = Parts {
        config: arguments.api,
        broker: Arc::clone(&broker),
        store: Arc::clone(&store),
        catalog: Catalog::new(&arguments.models_dir),
        metrics,
        declared: None,
        workers: api::WorkersAt::Elsewhere,
    };
    tokio::spawn(answer_all(broker, Arc::clone(&store)));
    tokio::spawn(async move {
        while report(store.as_ref()).await.is_ok() {
            tokio::time::sleep(ROUND).await;
        }
    });
    api::serve(listener, parts, CancellationToken::new()).await?;
    Ok(())
}

fn worker() -> WorkerId {
    WorkerId::from("stub".to_owned())
}

/// Gives every image the same label.
async fn answer_all(broker: Arc<dyn Broker>, store: Arc<dyn Store>) -> anyhow::Result<()> {
    let mut consumer = broker.consume(64).await?;
    while let Some(delivery) = consumer.next().await? {
        let best = LabelScore { label: "any".to_owned(), score: 1.0 };
        let outcome = ImageOutcome::Classified { best, scores: Vec::new(), labels: None };
        let positions = delivery.part.payload.positions();
        let images = positions.into_iter().map(|position| (position, outcome.clone())).collect();
        let result =
            PartResult { end: PartEnd::Done(images), worker: worker(), times: StageTimes::default() };
        store.put_part(delivery.part.id, &result).await?;
        delivery.acknowledge.ack().await?;
    }
    Ok(())
}

/// Reports ready, also for any model that is being rolled out.
async fn report(store: &dyn Store) -> Result<(), StoreError> {
    let fleet = store.fleet().await?.value;
    let preparing = fleet.rollout.filter(|rollout| rollout.phase == Phase::Preparing);
    let preparation = preparing.map(|rollout| Preparation {
        generation: rollout.generation,
        rollout: Some(rollout.id()),
        state: PreparationState::Prepared,
    });
    let now = Timestamp::now();
    let report = WorkerReport {
        id: worker(),
        host: "stub".to_owned(),
        state: WorkerState::Ready,
        device: "none".to_owned(),
        loaded: fleet.active.iter().map(LoadedModel::active).collect(),
        generation: fleet.active.map(|active| active.generation),
        preparation,
        problem: None,
        found: None,
        clock_offset_ms: None,
        images_per_second: 0.0,
        parts_per_second: 0.0,
        images_total: 0,
        started_at: now,
        reported_at: now,
    };
    store.report_worker(&report, Duration::from_secs(30)).await
}
