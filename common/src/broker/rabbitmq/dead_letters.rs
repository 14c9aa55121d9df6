//! Looks at the dead letters and takes them out.
//!
//! A message that cannot be read as a part is listed with what is known of it. It cannot be taken out
//! here, since there is no part to give: RabbitMQ's own tools purge it.

use lapin::message::Delivery as Received;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel};

use super::connection::Link;
use super::consumer::{InHand, header, message_id};
use super::publisher::REASON;
use super::{unavailable, wire};
use crate::broker::{BrokerError, DeadLetter, Exhumed};
use crate::messages::PartId;

/// The oldest dead letters, which stay.
pub(super) async fn list(link: &Link, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
    let channel = link.connection.create_channel().await.map_err(unavailable)?;
    let mut letters = Vec::new();
    let mut last = None;
    while letters.len() < limit {
        let Some(received) = get(&channel, queue).await? else { break };
        letters.push(describe(&received));
        last = Some(received.acker.clone());
    }
    give_back(last).await?;
    close(&channel).await?;
    Ok(letters)
}

/// Takes out the dead letters of one part, or all that can be read.
pub(super) async fn exhume(
    link: &Link,
    queue: &str,
    which: Option<PartId>,
) -> Result<Vec<Exhumed>, BrokerError> {
    let channel = link.connection.create_channel().await.map_err(unavailable)?;
    let mut taken = Vec::new();
    let mut others = Vec::new();
    while let Some(received) = get(&channel, queue).await? {
        match wire::decode(&received.data) {
            Ok(part) if which.is_none_or(|id| id == part.id) => {
                taken.push(Exhumed { part, acknowledge: InHand::new(&received, &channel) });
            }
            Ok(_) | Err(_) => others.push(InHand::new(&received, &channel)),
        }
    }
    for other in others {
        crate::broker::Acknowledge::requeue(other).await?;
    }
    if taken.is_empty() {
        close(&channel).await?;
    }
    Ok(taken)
}

async fn get(channel: &Channel, queue: &str) -> Result<Option<Received>, BrokerError> {
    let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.map_err(unavailable)?;
    Ok(got.map(|message| message.delivery))
}

/// Gives back this message and all before it, in their old order.
async fn give_back(last: Option<Acker>) -> Result<(), BrokerError> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    match last {
        Some(acker) => acker.nack(all).await.map(|_| ()).map_err(unavailable),
        None => Ok(()),
    }
}

/// Waits until RabbitMQ has everything back.
async fn close(channel: &Channel) -> Result<(), BrokerError> {
    channel.close(200, "OK".into()).await.map_err(unavailable)
}

fn describe(received: &Received) -> DeadLetter {
    let reason = reason(received);
    match wire::decode(&received.data) {
        Ok(part) => DeadLetter::of(&part, &reason),
        Err(_) => DeadLetter {
            id: parse_id(&message_id(received)).unwrap_or_else(nobody),
            positions: Vec::new(),
            image_bytes: received.data.len() as u64,
            model: "unreadable".to_owned(),
            reason,
        },
    }
}

/// What we said when we put it aside, or what RabbitMQ's backstop says.
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

/// Stands for a part whose id is not known.
fn nobody() -> PartId {
    let job = "00000000-0000-0000-0000-000000000000".parse().expect("it is a UUID");
    PartId { job, index: 0 }
}

fn parse_id(text: &str) -> Option<PartId> {
    let (job, index) = text.split_once('/')?;
    Some(PartId { job: job.parse().ok()?, index: index.parse().ok()? })
}
