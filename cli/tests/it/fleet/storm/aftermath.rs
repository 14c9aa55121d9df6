//! Checks after the storm.

use std::collections::BTreeSet;

use common::broker::Broker as _;
use testing::Traffic;

use super::blows::{Destruction, WORKERS};
use super::operator;
use crate::fleet::client::Client;
use crate::fleet::programs::eventually;

impl Destruction {
    /// All programs stop; then the queue is empty and the store has nothing that never expires.
    pub(super) async fn nothing_is_left(&mut self, client: &Client) {
        for program in self.apis.iter().chain(&self.workers) {
            program.ways.set(Traffic::Pass);
        }
        client.workers_are_ready(WORKERS).await;
        let broker = operator::connect(self.fleet.rabbitmq.url()).await;
        // A job that its client gave up, or that was sent twice, may still be in progress.
        eventually("the queue is empty", async || {
            let depth = broker.depth().await.ok()?;
            (depth.waiting == 0).then_some(())
        })
        .await;
        for program in self.workers.iter_mut().chain(&mut self.apis) {
            let status = tokio::task::block_in_place(|| program.process.stop());
            assert!(status.success(), "{status}: {}", self.fleet.logs());
        }
        let depth = broker.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.dead_letters), (0, 0), "{depth:?}");
        let lasting = self.keys_that_last();
        assert!(lasting.len() <= 2, "only the fleet's state and its index may stay: {lasting:?}");
    }

    /// Returns the Redis keys that do not expire.
    fn keys_that_last(&self) -> BTreeSet<String> {
        let script = "local l = {} for _, k in ipairs(redis.call('KEYS', '*')) do \
                      if redis.call('TTL', k) == -1 then l[#l + 1] = k end end return l";
        let out = std::process::Command::new("redis-cli")
            .args(["-p", &self.fleet.redis.port().to_string(), "EVAL", script, "0"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}
