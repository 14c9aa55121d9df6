//! What tests share: real servers, the messages that tests send, and the suites of behaviours that every [`broker`] and every
//! [`store`] has.
//!
//! A server lives in a folder of its own on a free port, and dies with its handle, or with the process
//! that started it, however that ends. Starting one takes seconds: tests share a pair with
//! [`shared_rabbitmq`] and [`shared_redis`], each under its own [`unique_prefix`], and start their own
//! only to kill it. Shared servers live as long as the process: run such tests with `cargo test`, where
//! all tests of a binary share one, rather than with a runner that starts a process for each.
//!
//! Everything here panics where something fails: a test without its server has failed.

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
pub mod numbers;
mod process;
mod proxy;
mod rabbitmq;
mod redis;
pub mod samples;
pub mod store;

/// The RabbitMQ that the tests of this process share.
///
/// # Panics
/// It cannot be started.
pub fn shared_rabbitmq() -> &'static RabbitMqServer {
    static SERVER: OnceLock<RabbitMqServer> = OnceLock::new();
    SERVER.get_or_init(RabbitMqServer::start)
}

/// The Redis that the tests of this process share.
///
/// # Panics
/// It cannot be started.
pub fn shared_redis() -> &'static RedisServer {
    static SERVER: OnceLock<RedisServer> = OnceLock::new();
    SERVER.get_or_init(RedisServer::start)
}

/// The root of the repository.
///
/// # Panics
/// This crate does not stand in one.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in a repository")
}

/// A prefix of queues and keys that no other test has.
#[must_use]
pub fn unique_prefix() -> String {
    format!("test-{}", Uuid::new_v4().simple())
}

/// Makes a test of each named behaviour of a suite, on a bench of its own.
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

/// Processor time that a reader of foreign bytes may take for so many: two seconds, or as much for each megabyte, and
/// five in all.
#[must_use]
pub fn time_to_read(bytes: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a limit")]
    let seconds = 2.0 * bytes as f64 / 1e6;
    Duration::from_secs_f64(seconds.clamp(2.0, 5.0))
}
