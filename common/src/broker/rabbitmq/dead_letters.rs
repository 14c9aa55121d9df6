//! Lists dead letters and takes them out of their queues.
//!
//! An unreadable message is listed with what is known of it, and can be taken out to drop it.

use std::time::Duration;

use lapin::message::Delivery as Received;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel};

use super::consumer::{header, message_id};
use super::faults::RabbitMqFault;
use super::in_hand::InHand;
use super::link::Link;
use super::publisher::REASON;
use super::wire;
use crate::broker::{Acknowledge as _, DeadLetter, TakenDeadLetter, WhichLetters};
use crate::messages::Part;

/// Lists the oldest dead letters, without removing them.
pub(super) async fn list(
    link: &Link,
    queues: [&str; 2],
    limit: usize,
) -> Result<Vec<DeadLetter>, RabbitMqFault> {
    let channel = link.connection.create_channel().await?;
    let mut letters = Vec::new();
    let mut last = None;
    for queue in queues {
        while letters.len() < limit
            && let Some(received) = get(&channel, queue).await?
        {
            letters.push(describe(&received, wire::decode(&received.data).ok().as_ref()));
            last = Some(received.acker.clone());
        }
    }
    give_back(last).await?;
    close(&channel).await?;
    Ok(letters)
}

/// Takes dead letters.
pub(super) async fn take(
    link: &Link,
    queues: [&str; 2],
    which: WhichLetters,
    limit: Duration,
) -> Result<Vec<TakenDeadLetter>, RabbitMqFault> {
    let channel = link.connection.create_channel().await?;
    let mut taken = Vec::new();
    let mut others = Vec::new();
    let mut rest = queues.into_iter();
    let mut queue = rest.next();
    while let Some(name) = queue {
        let Some(received) = get(&channel, name).await? else {
            queue = rest.next();
            continue;
        };
        let acknowledge = InHand::new(&received, &channel, limit);
        let part = wire::decode(&received.data).ok();
        let letter = describe(&received, part.as_ref());
        if which.has(letter.id) {
            taken.push(TakenDeadLetter { letter, part, acknowledge });
        } else {
            others.push(acknowledge);
        }
    }
    for other in others {
        // A failure means that the channel has ended, and everything went back with it.
        let _ = other.requeue().await;
    }
    if taken.is_empty() {
        close(&channel).await?;
    }
    Ok(taken)
}

async fn get(channel: &Channel, queue: &str) -> Result<Option<Received>, RabbitMqFault> {
    let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
    Ok(got.map(|message| message.delivery))
}

/// Returns this message and all before it, in their old order.
async fn give_back(last: Option<Acker>) -> Result<(), RabbitMqFault> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    match last {
        Some(acker) => {
            acker.nack(all).await?;
            Ok(())
        }
        None => Ok(()),
    }
}

/// Waits until RabbitMQ has everything back.
async fn close(channel: &Channel) -> Result<(), RabbitMqFault> {
    Ok(channel.close(200, "OK".into()).await?)
}

fn describe(received: &Received, part: Option<&Part>) -> DeadLetter {
    let reason = reason(received);
    match part {
        Some(part) => DeadLetter::of(part, &reason),
        None => DeadLetter {
            id: message_id(received).parse().ok(),
            part: None,
            bytes: received.data.len() as u64,
            reason,
        },
    }
}

/// Returns the reason that a worker gave, or that of RabbitMQ's delivery limit.
fn reason(received: &Received) -> String {
    let said = |name: &str| text(header(received)?, name);
    said(REASON)
        .or_else(|| said("x-first-death-reason"))
        .or_else(|| death(header(received)?))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn death(headers: &FieldTable) -> Option<String> {
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { return None };
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else { return None };
    text(death, "reason")
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    let Some(AMQPValue::LongString(value)) = table.inner().get(name) else { return None };
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
