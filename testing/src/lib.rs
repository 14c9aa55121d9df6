//! What tests share: real servers, sample messages, random [`graphs`], and the test suites of every [`broker`] and every
//! [`store`].
//!
//! A server runs in a folder of its own on a free port, and ends with its handle, or with the process that started it
//! for any reason. Starting one takes seconds: tests share a pair with [`shared_rabbitmq`] and [`shared_redis`], each
//! under its own [`unique_prefix`], and start their own only to kill it. Shared servers live as long as the process:
//! run such tests with `cargo test`, where all tests of a binary share one, and not with a runner that starts a process
//! per test.
//!
//! Everything here panics on errors: a test without its server has failed.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use uuid::Uuid;

pub use common::broker::rabbitmq::read_message;

pub use alone::alone;
pub use process::{Process, TestFolder, free_port};
pub use proxy::{Proxy, Traffic};
pub use rabbitmq::{RabbitMqCluster, RabbitMqControl, RabbitMqServer};
pub use redis::{Durability, RedisServer, SavedRedis};

mod alone;
pub mod broker;
pub mod graphs;
pub mod numbers;
mod process;
mod proxy;
mod rabbitmq;
mod redis;
pub mod samples;
pub mod store;

/// Returns the RabbitMQ that the tests of this process share.
///
/// # Panics
/// It cannot be started.
pub fn shared_rabbitmq() -> &'static RabbitMqServer {
    static SERVER: OnceLock<RabbitMqServer> = OnceLock::new();
    SERVER.get_or_init(RabbitMqServer::start)
}

/// Returns the Redis that the tests of this process share.
///
/// # Panics
/// It cannot be started.
pub fn shared_redis() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

/// Returns the root of the repository.
///
/// # Panics
/// This crate is not in a repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in a repository")
}

/// Returns a prefix of queues and keys that no other test has.
#[must_use]
pub fn unique_prefix() -> String {
    format!("test-{}", Uuid::new_v4().simple())
}

/// Generates a test of each behaviour of a suite, on a bench of its own.
#[macro_export]
macro_rules! behaviours {
    ($suite:path, $bench:expr, $($behaviour:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                use $suite as suite;
                suite::$behaviour($bench).await;
            }
        )*
    };
}

/// Returns the CPU time that a parser of untrusted bytes may take: at least two seconds, more per megabyte, and at most
/// five.
#[must_use]
pub fn time_to_read(bytes: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    let seconds = 2.0 * bytes as f64 / 1e6;
    Duration::from_secs_f64(seconds.clamp(2.0, 5.0))
}
