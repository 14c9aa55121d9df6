//! The proxies between a program and its servers.

use testing::{Proxy, Traffic};

/// A program's own proxies before the two servers.
pub(super) struct Ways {
    pub(super) rabbitmq: Proxy,
    pub(super) redis: Proxy,
}

impl Ways {
    /// To the servers at these ports.
    pub(super) fn to(rabbitmq: u16, redis: u16) -> Self {
        Self { rabbitmq: Proxy::start(rabbitmq), redis: Proxy::start(redis) }
    }

    /// Addresses of the two for the program.
    pub(super) fn urls(&self) -> (String, String) {
        let rabbitmq = format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.rabbitmq.port());
        (rabbitmq, format!("redis://127.0.0.1:{}/0", self.redis.port()))
    }

    /// Sets the fault of both.
    pub(super) fn set(&self, traffic: Traffic) {
        self.rabbitmq.set(traffic);
        self.redis.set(traffic);
    }
}
