//! Wakes waiters of jobs, with one subscription per process.
//!
//! Messages are lost while the subscription is down. Waiters therefore read their job again when the subscription comes
//! back, and at intervals.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use tokio::time::{Instant, timeout};

use super::documents::unpack;
use super::faults::{RedisFault, Remedy};
use super::link::Link;
use crate::ids::JobId;
use crate::messages::PartResult;
use crate::patience::Backoff;
use crate::store::watch::Watched;

/// Silence after which the subscription is pinged.
const SILENCE: Duration = Duration::from_secs(10);

/// Timeout of connecting and of the ping.
const ANSWER: Duration = Duration::from_secs(3);

/// Pause between two attempts to subscribe while the connection for commands works.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A subscription that lasted this long was good.
const STEADY: Duration = Duration::from_secs(10);

/// Listens for ended jobs forever.
///
/// It connects only while the connection for commands works, which makes all attempts on an unreachable or refusing
/// server. It connects again when that connection was replaced, which may lead to another server.
pub(super) async fn listen(client: Client, channel: String, link: Link, watched: Arc<Watched>) {
    let mut pauses = Backoff::new(PAUSE, LONGEST_PAUSE);
    let mut told = String::new();
    loop {
        let number = link.other_than(None).await;
        let begun = Instant::now();
        tokio::select! {
            outcome = subscription(&client, &channel, &watched) => {
                if let Err(error) = outcome {
                    let fault = RedisFault::of(&error);
                    if fault.remedy == Remedy::Refuse && told != fault.text {
                        tracing::warn!(
                            reason = %fault.text,
                            "Redis sends no notifications of ended jobs, they are polled once a second instead"
                        );
                        told = fault.text;
                    } else {
                        tracing::debug!("the subscription to ended jobs broke, subscribing again: {error}");
                    }
                }
            }
            _ = link.other_than(Some(number)) => continue,
        }
        if begun.elapsed() >= STEADY {
            pauses.reset();
        }
        pauses.pause().await;
    }
}

async fn subscription(client: &Client, channel: &str, watched: &Watched) -> Result<(), RedisError> {
    let silent = |_| RedisError::from((redis::ErrorKind::Io, "no answer in time"));
    let mut pubsub = timeout(ANSWER, client.get_async_pubsub()).await.map_err(silent)??;
    timeout(ANSWER, pubsub.subscribe(channel)).await.map_err(silent)??;
    watched.wake_all();
    let (mut sink, mut messages) = pubsub.split();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(message)) => {
                if let Some((job, result)) = end_of(message.get_payload_bytes()) {
                    watched.wake(job, result);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                timeout(ANSWER, sink.ping::<redis::Value>()).await.map_err(silent)??;
            }
        }
    }
}

/// Parses the job that has ended, and the result of its only part if the message has it.
fn end_of(message: &[u8]) -> Option<(JobId, Option<PartResult>)> {
    let (job, result) = message.split_at_checked(JobId::TEXT_LENGTH)?;
    let job = std::str::from_utf8(job).ok()?.parse().ok()?;
    // If the result is unreadable here, waiters read the job itself.
    Some((job, unpack(result).ok()))
}
