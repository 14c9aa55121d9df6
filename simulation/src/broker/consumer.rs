//! A worker's subscription to parts.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use common::broker::{Acknowledge, BrokerError, Consumer, Delivery, Hint, Listener};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::server::{BrokerServer, Delivered, Settled};
use crate::link::{CALL_LIMIT, Life, Link, NoAnswer};
use crate::options::{Fix, Options};

/// One subscription.
pub(super) struct SimulatedConsumer {
    pub(super) server: Arc<BrokerServer>,
    pub(super) link: Arc<Link>,
    pub(super) options: Options,
    pub(super) id: u64,
    pub(super) delivered: mpsc::UnboundedReceiver<Delivered>,
    /// Taken from the stream and not yet returned: a wait may be cancelled in between.
    pub(super) arriving: Option<Delivered>,
    pub(super) ended: bool,
    /// Notes that the worker has it; before that no worker does.
    pub(super) handed: bool,
}

#[async_trait]
impl Consumer for SimulatedConsumer {
    async fn next(&mut self) -> Result<Option<Delivery>, BrokerError> {
        if self.ended {
            // A stream that has ended never answers again.
            return pending().await;
        }
        if self.arriving.is_none() {
            self.arriving = self.delivered.recv().await;
        }
        self.link.receive().await;
        let Some(Delivered { tag, part, attempt }) = self.arriving.take() else {
            self.ended = true;
            if !self.options.has(Fix::EndsAreTold) {
                return pending().await;
            }
            return Err(BrokerError::Unavailable("it ended the subscription".to_owned()));
        };
        let hand = InHand {
            server: Arc::clone(&self.server),
            link: Arc::clone(&self.link),
            id: self.id,
            tag: Some(tag),
        };
        Ok(Some(Delivery { part, attempt, acknowledge: Box::new(hand) }))
    }

    async fn stop(&mut self) -> Result<(), BrokerError> {
        if self.ended {
            // The contract bounds it, so callers need no timeout.
            return pending().await;
        }
        self.ended = true;
        let (server, id) = (Arc::clone(&self.server), self.id);
        let stopped = self.link.call(move || server.unsubscribe(id)).await;
        let mut unseen: Vec<Delivered> = self.arriving.take().into_iter().collect();
        while let Ok(delivered) = self.delivered.try_recv() {
            unseen.push(delivered);
        }
        for Delivered { tag, .. } in unseen {
            drop(InHand {
                server: Arc::clone(&self.server),
                link: Arc::clone(&self.link),
                id,
                tag: Some(tag),
            });
        }
        stopped.map_err(|NoAnswer| BrokerError::Unavailable("no answer in time".to_owned()))
    }
}

impl Drop for SimulatedConsumer {
    fn drop(&mut self) {
        if self.link.pulse().life() == Life::Dead {
            if !self.handed {
                // Subscribed for a process that died meanwhile: its host answers that the port is closed.
                self.server.abandon(self.id);
            }
            return;
        }
        // What the process held and never returned goes back with the channel.
        let mut unseen: Vec<u64> = self.arriving.take().map(|one| one.tag).into_iter().collect();
        while let Ok(delivered) = self.delivered.try_recv() {
            unseen.push(delivered.tag);
        }
        let (server, link, id) = (Arc::clone(&self.server), Arc::clone(&self.link), self.id);
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let act = move || {
                server.unsubscribe(id);
                for tag in &unseen {
                    let _ = server.settle(id, *tag, Settled::Return);
                }
            };
            keep_trying(&link, act).await;
        });
    }
}

/// A delivered part. If it is dropped, it goes back.
pub(super) struct InHand {
    server: Arc<BrokerServer>,
    link: Arc<Link>,
    id: u64,
    tag: Option<u64>,
}

impl InHand {
    async fn settle(mut self: Box<Self>, how: Settled) -> Result<(), BrokerError> {
        let Some(tag) = self.tag.take() else { return Ok(()) };
        let (server, link, id) = (Arc::clone(&self.server), Arc::clone(&self.link), self.id);
        // A task of its own: what was written to a connection arrives also if the caller stops waiting for the answer.
        let settling =
            tokio::spawn(async move { keep_trying(&link, move || server.settle(id, tag, how)).await });
        let settled = timeout(CALL_LIMIT, settling).await.ok().and_then(Result::ok);
        settled.unwrap_or_else(|| Err(BrokerError::Unavailable("no answer in time".to_owned())))
    }
}

/// The network loses nothing on a living connection: what was sent arrives, or the connection ends.
async fn keep_trying<T: Send + 'static>(link: &Link, act: impl Fn() -> T + Clone + Send + 'static) -> T {
    loop {
        if let Ok(done) = link.call(act.clone()).await {
            return done;
        }
    }
}

#[async_trait]
impl Acknowledge for InHand {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(Settled::Forget).await
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(Settled::Return).await
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let Some(tag) = self.tag.take() else { return };
        if self.link.pulse().life() == Life::Dead {
            return;
        }
        let (server, link, id) = (Arc::clone(&self.server), Arc::clone(&self.link), self.id);
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // If the channel has ended, it went back with it.
            let _ = keep_trying(&link, move || server.settle(id, tag, Settled::Return)).await;
        });
    }
}

/// A subscription to hints.
pub(super) struct SimulatedListener {
    pub(super) link: Arc<Link>,
    pub(super) told: mpsc::UnboundedReceiver<Hint>,
}

#[async_trait]
impl Listener for SimulatedListener {
    async fn next(&mut self) -> Result<Hint, BrokerError> {
        let hint = self.told.recv().await;
        self.link.receive().await;
        hint.ok_or_else(|| BrokerError::Unavailable("it ended the subscription".to_owned()))
    }
}
