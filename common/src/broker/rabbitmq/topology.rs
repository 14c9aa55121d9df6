//! Queues and exchanges, and why each option is as it is. All of it is valid on RabbitMQ 3.10 and 4.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::unavailable;
use crate::broker::BrokerError;

/// Redeliveries after which RabbitMQ itself puts a part aside. Far above the three tries that a worker
/// grants, which it counts itself, image by image: RabbitMQ also counts parts that were merely
/// prefetched when a worker died or left, and those are innocent. It is the backstop for a part that
/// kills workers before they can count. 4.x has 20 where nothing is said.
const DELIVERY_LIMIT: i32 = 1_000;

/// Looking at dead letters counts as a delivery. They must never be dropped for it, and "no limit" is
/// written differently in 3.x and 4.x.
const DEAD_DELIVERY_LIMIT: i32 = i32::MAX;

/// Hints that wait for a slow listener; the oldest go first, since the newest tells as much.
const HINT_BACKLOG: i32 = 64;

/// Names, and the bound of the queue.
pub(super) struct Topology {
    pub(super) parts: String,
    pub(super) dead: String,
    pub(super) control: String,
    max_parts: u32,
}

impl Topology {
    pub(super) fn new(prefix: &str, max_parts: u32) -> Self {
        let name = |tail: &str| format!("{prefix}.{tail}");
        Self { parts: name("parts"), dead: name("dead"), control: name("control"), max_parts }
    }

    /// Declares everything; what exists stays as it is.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), BrokerError> {
        let channel = connection.create_channel().await.map_err(unavailable)?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for exchange in [&self.control, &self.dead] {
            channel
                .exchange_declare(
                    exchange.as_str().into(),
                    ExchangeKind::Fanout,
                    durable,
                    FieldTable::default(),
                )
                .await
                .map_err(unavailable)?;
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let dead = self.dead.as_str();
        channel.queue_declare(dead.into(), durable, dead_queue()).await.map_err(unavailable)?;
        channel
            .queue_bind(
                dead.into(),
                dead.into(),
                "".into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(unavailable)?;
        match channel.queue_declare(self.parts.as_str().into(), durable, self.parts_queue()).await {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("inequivalent arg 'x-max-length'") => {
                tracing::warn!(
                    queue = self.parts,
                    "the queue exists with another bound, which stays in force: {error}"
                );
                Ok(())
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    fn parts_queue(&self) -> FieldTable {
        table(&[
            // Replicated, and on disk before it is confirmed (save that a server which is killed within a
            // second of the queue's very first declaration may forget the queue; seen with 3.10).
            ("x-queue-type", text("quorum")),
            // Parts that are ready: RabbitMQ refuses once there are more than this, hence one less.
            ("x-max-length", AMQPValue::LongLongInt(i64::from(self.max_parts) - 1)),
            // Refuse the new; the default drops the oldest, which was promised to somebody.
            ("x-overflow", text("reject-publish")),
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text(&self.dead)),
            // The default may lose a part on its way to the dead letters.
            ("x-dead-letter-strategy", text("at-least-once")),
        ])
    }

    /// Options of a listener's own queue.
    pub(super) fn hint_queue() -> FieldTable {
        table(&[("x-max-length", AMQPValue::LongInt(HINT_BACKLOG))])
    }
}

fn dead_queue() -> FieldTable {
    table(&[("x-queue-type", text("quorum")), ("x-delivery-limit", AMQPValue::LongInt(DEAD_DELIVERY_LIMIT))])
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table(options: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in options {
        table.insert((*name).into(), value.clone());
    }
    table
}
