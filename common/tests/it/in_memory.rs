//! The store of a single process.

use std::sync::Arc;

use common::store::Store;
use common::store::contract::Bench;
use common::store::in_memory::InMemoryStore;

struct OneProcess(Arc<InMemoryStore>);

#[async_trait::async_trait]
impl Bench for OneProcess {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }
}

common::store_contract!(OneProcess(InMemoryStore::new()));
