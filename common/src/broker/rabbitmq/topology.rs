//! Queues and exchanges, with the reason for each option. All options are valid on RabbitMQ 3.10 and 4.

use std::sync::atomic::{AtomicU64, Ordering};

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ExchangeKind};

use super::faults::{FaultKind, RabbitMqFault};
use crate::broker::{BrokerLimits, MAX_DEAD_LETTER_BYTES};

/// Redeliveries after which RabbitMQ itself dead-letters a part. Far above the three tries of a worker, which the
/// workers count per image: RabbitMQ also counts parts that were only prefetched when a worker died or left. It is the
/// backstop for a part that kills workers before they can count. The default of 4.x is 20.
const DELIVERY_LIMIT: i64 = 1_000;

/// Listing dead letters counts as a delivery. They must never be dropped for it, and "no limit" is written differently
/// in 3.x and 4.x.
const DEAD_DELIVERY_LIMIT: i64 = i32::MAX as i64;

/// Hints that wait for a slow listener. The oldest are dropped, since the newest says as much.
const HINT_BACKLOG: i32 = 64;

const MAX_LENGTH: &str = "x-max-length";
const MAX_BYTES: &str = "x-max-length-bytes";
const DELIVERIES: &str = "x-delivery-limit";

/// Names, and the limits of the queue.
pub(super) struct Topology {
    pub(super) parts: String,
    /// Dead letters of RabbitMQ itself and of the previous release, in a queue without a limit.
    pub(super) dead: String,
    /// Dead letters of this release. In a queue of its own: the previous release accepts only its own options of the
    /// first one.
    pub(super) letters: String,
    pub(super) control: String,
    pub(super) probe: String,
    wanted: BrokerLimits,
    /// Most parts of the existing queue; another process may have declared it with another limit.
    bound: AtomicU64,
    /// Most bytes of the existing queue.
    byte_bound: AtomicU64,
}

impl Topology {
    pub(super) fn new(prefix: &str, wanted: BrokerLimits) -> Self {
        let name = |tail: &str| format!("{prefix}.{tail}");
        Self {
            parts: name("parts"),
            dead: name("dead"),
            letters: name("letters"),
            control: name("control"),
            probe: name("probe"),
            wanted,
            bound: AtomicU64::new(u64::from(wanted.max_parts)),
            byte_bound: AtomicU64::new(wanted.max_bytes.unwrap_or(u64::MAX)),
        }
    }

    /// Declares everything; existing queues stay unchanged.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), RabbitMqFault> {
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for exchange in [&self.control, &self.dead] {
            let (name, none) = (exchange.as_str().into(), FieldTable::default());
            channel.exchange_declare(name, ExchangeKind::Fanout, durable, none).await?;
        }
        declare_queue(connection, &self.dead, dead_queue()).await?;
        let (dead, bind) = (self.dead.as_str(), QueueBindOptions::default());
        channel.queue_bind(dead.into(), dead.into(), "".into(), bind, FieldTable::default()).await?;
        declare_queue(connection, &self.letters, letters_queue()).await?;
        declare_queue(connection, &self.probe, probe_queue()).await?;
        let settings = declare_queue(connection, &self.parts, self.parts_queue()).await?;
        self.remember(&settings);
        Ok(())
    }

    /// Returns the queues of dead letters.
    pub(super) fn both_dead(&self) -> [&str; 2] {
        [&self.dead, &self.letters]
    }

    /// Returns the most parts of the queue, as far as known.
    pub(super) fn bound(&self) -> u64 {
        self.bound.load(Ordering::Relaxed)
    }

    /// Returns the most bytes of the queue, as far as known.
    pub(super) fn byte_bound(&self) -> u64 {
        self.byte_bound.load(Ordering::Relaxed)
    }

    fn remember(&self, settings: &QueueSettings) {
        let of = |setting: Option<i64>| setting.map_or(u64::MAX, |value| u64::try_from(value).unwrap_or(0));
        // One more than the setting, see there.
        let bound = of(settings.max_length).saturating_add(1);
        let byte_bound = of(settings.max_bytes);
        let before = self.bound.swap(bound, Ordering::Relaxed);
        let bytes_before = self.byte_bound.swap(byte_bound, Ordering::Relaxed);
        if (before, bytes_before) != (bound, byte_bound) {
            tracing::warn!(
                queue = self.parts,
                bound,
                byte_bound,
                wanted = ?self.wanted,
                "the queue exists with other limits, which stay in force"
            );
        }
    }

    fn parts_queue(&self) -> QueueSettings {
        QueueSettings {
            fixed: table(&[
                // Replicated, and on disk before it is confirmed. Exception: a server that is killed within a second of
                // the queue's first declaration may forget the queue (seen with 3.10).
                ("x-queue-type", text("quorum")),
                // Reject new parts; the default drops the oldest, which was already accepted.
                ("x-overflow", text("reject-publish")),
                ("x-dead-letter-exchange", text(&self.dead)),
                // The default may lose a part on its way to the dead letters.
                ("x-dead-letter-strategy", text("at-least-once")),
            ]),
            // Ready parts: RabbitMQ rejects once there are more than this, hence one less.
            max_length: Some(i64::from(self.wanted.max_parts) - 1),
            // Ready bytes as well, rejected once there are more: the last accepted part may exceed it.
            max_bytes: self.wanted.max_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            delivery_limit: Some(DELIVERY_LIMIT),
        }
    }

    /// Options of a listener's own queue.
    pub(super) fn hint_queue() -> FieldTable {
        table(&[(MAX_LENGTH, AMQPValue::LongInt(HINT_BACKLOG))])
    }
}

fn dead_queue() -> QueueSettings {
    QueueSettings {
        fixed: table(&[("x-queue-type", text("quorum"))]),
        max_length: None,
        max_bytes: None,
        delivery_limit: Some(DEAD_DELIVERY_LIMIT),
    }
}

/// Rejects dead letters beyond its limit, so that the oldest stay.
fn letters_queue() -> QueueSettings {
    QueueSettings {
        fixed: table(&[("x-queue-type", text("quorum")), ("x-overflow", text("reject-publish"))]),
        max_length: None,
        max_bytes: i64::try_from(MAX_DEAD_LETTER_BYTES).ok(),
        delivery_limit: Some(DEAD_DELIVERY_LIMIT),
    }
}

/// The queue that shows whether messages can be stored safely: of the same kind as that of the parts, with at most one
/// message.
fn probe_queue() -> QueueSettings {
    QueueSettings {
        fixed: table(&[("x-queue-type", text("quorum")), ("x-overflow", text("drop-head"))]),
        max_length: Some(1),
        max_bytes: None,
        delivery_limit: None,
    }
}

/// Options of a durable queue.
#[derive(Clone)]
struct QueueSettings {
    /// Required settings of a queue.
    fixed: FieldTable,
    /// Settings in which an existing queue may differ: an operator's choice, or another release's.
    max_length: Option<i64>,
    max_bytes: Option<i64>,
    delivery_limit: Option<i64>,
}

impl QueueSettings {
    fn table(&self) -> FieldTable {
        let mut table = self.fixed.clone();
        for (name, value) in
            [(MAX_LENGTH, self.max_length), (MAX_BYTES, self.max_bytes), (DELIVERIES, self.delivery_limit)]
        {
            if let Some(value) = value {
                table.insert(name.into(), AMQPValue::LongLongInt(value));
            }
        }
        table
    }

    /// Adopts the settings of the existing queue. Returns whether that may help.
    fn adopt(&mut self, difference: &Difference) -> bool {
        let setting = match difference.option.as_str() {
            MAX_LENGTH => &mut self.max_length,
            MAX_BYTES => &mut self.max_bytes,
            DELIVERIES => &mut self.delivery_limit,
            _ => return false,
        };
        std::mem::replace(setting, difference.current) != difference.current
    }
}

/// Declares a queue, or adopts an existing one if only its limits differ. Returns the settings in force.
async fn declare_queue(
    connection: &Connection,
    name: &str,
    mut settings: QueueSettings,
) -> Result<QueueSettings, RabbitMqFault> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    loop {
        // A refusal ends the channel.
        let channel = connection.create_channel().await?;
        let fault = match channel.queue_declare(name.into(), durable, settings.table()).await {
            Ok(_) => return Ok(settings),
            Err(error) => RabbitMqFault::from(error),
        };
        if fault.kind != FaultKind::OtherSettings {
            return Err(fault);
        }
        // Each round adopts one of three settings, so that this ends.
        match Difference::parse(fault.said()) {
            Some(difference) if settings.adopt(&difference) => {}
            Some(_) | None => return Err(fault),
        }
    }
}

/// RabbitMQ's message on an option in which a queue differs from its declaration.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    option: String,
    /// The option of the existing queue; `None` if it has none.
    current: Option<i64>,
}

impl Difference {
    /// Parses "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received '8' but current is '9'".
    fn parse(said: &str) -> Option<Self> {
        let (_, rest) = said.split_once("inequivalent arg '")?;
        let (option, rest) = rest.split_once('\'')?;
        let (_, current) = rest.split_once("but current is ")?;
        let current = match current.split('\'').nth(1) {
            Some(value) => Some(value.parse().ok()?),
            None => {
                current.starts_with("none").then_some(())?;
                None
            }
        };
        Some(Self { option: option.to_owned(), current })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of RabbitMQ 3.10.
    #[test]
    fn the_current_setting_is_read_from_a_refusal() {
        for (said, option, current) in [
            (
                "x-max-length' for queue 'a.parts' in vhost '/': received '7' but current is '9'",
                MAX_LENGTH,
                Some(9),
            ),
            (
                "x-max-length' for queue 'a.parts' in vhost '/': received the value '7' of type 'long' but current \
                 is none",
                MAX_LENGTH,
                None,
            ),
            (
                "x-delivery-limit' for queue 'a' in vhost '/': received none but current is the value '20' of type \
                 'signedint'",
                DELIVERIES,
                Some(20),
            ),
        ] {
            let said = format!("protocol error: PRECONDITION_FAILED - inequivalent arg '{said}");
            assert_eq!(
                Difference::parse(&said),
                Some(Difference { option: option.to_owned(), current }),
                "{said}"
            );
        }
        assert_eq!(Difference::parse("PRECONDITION_FAILED - unknown delivery tag 1"), None);
    }
}
