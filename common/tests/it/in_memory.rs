//! The store of a single process.

use std::sync::Arc;

use common::ids::Revision;
use common::messages::{ImageError, ImageOutcome, JobRecord, PartEnd, PartId, PartResult};
use common::store::in_memory::InMemoryStore;
use common::store::{Store, StoreError};
use testing::samples::{record, result};
use testing::store::Bench;

struct OneProcess(Arc<InMemoryStore>);

#[async_trait::async_trait]
impl Bench for OneProcess {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }
}

testing::store_contract!(OneProcess(InMemoryStore::new()));

/// Ends a job of one part with this many invalid images, each with another error.
async fn end(store: &InMemoryStore, job: &JobRecord, images: u32) -> Result<(), StoreError> {
    store.put_job(job, Revision::NONE).await?;
    let bad = |position| {
        let error = ImageError::new("bad".to_owned().into(), format!("{position} {}", "x".repeat(1_000)));
        (position, ImageOutcome::Rejected(error))
    };
    let result = PartResult { end: PartEnd::Done((0..images).map(bad).collect()), ..result(0, "dog") };
    store.put_part(PartId { job: job.id, index: 0 }, &result).await?;
    Ok(())
}

#[tokio::test]
async fn results_are_bounded_in_bytes_and_delivered_ones_go_first() {
    let store = InMemoryStore::with_limit(100_000);
    let [told, untold, next] = [record(1), record(1), record(1)];
    for job in [&told, &untold] {
        end(&store, job, 50).await.unwrap();
    }
    let refused = end(&store, &next, 1).await;
    assert!(matches!(&refused, Err(StoreError::Refused(why)) if why.contains("100000")), "{refused:?}");
    // An answer that its client has makes room; one that no client has seen stays.
    assert!(store.job(told.id).await.unwrap().is_some_and(|job| job.is_finished()));
    end(&store, &next, 1).await.unwrap();
    assert!(store.job(told.id).await.unwrap().is_none());
    assert!(store.job(untold.id).await.unwrap().is_some());
}
