//! The store on a real Redis.

use std::sync::Arc;
use std::time::Duration;

use common::store::Store;
use common::store::redis::{RedisConfig, RedisStore};
use testing::store::Bench;
use testing::{shared_redis, unique_prefix};

mod clock;
mod documents;
mod failover;
mod line;
mod refusals;
mod restart;
mod restore;

struct Shared(RedisConfig);

#[async_trait::async_trait]
impl Bench for Shared {
    async fn store(&self) -> Arc<dyn Store> {
        RedisStore::connect(self.0.clone()).await.unwrap()
    }
}

fn config(url: String) -> RedisConfig {
    RedisConfig { url, prefix: unique_prefix(), call_timeout: Duration::from_secs(10) }
}

testing::store_contract!(Shared(config(shared_redis().url())));
