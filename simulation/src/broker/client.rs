//! The broker as a process sees it.

use std::sync::Arc;

use async_trait::async_trait;
use common::broker::{
    Acknowledge, Broker, BrokerError, Consumer, DeadLetter, Hint, Listener, QueueDepth, TakenDeadLetter,
    WhichLetters,
};
use common::messages::Part;

use super::consumer::{SimulatedConsumer, SimulatedListener};
use super::server::{BrokerServer, Settled};
use crate::link::{Link, NoAnswer};
use crate::options::Options;

/// A process's handle to the broker.
pub struct SimulatedBroker {
    server: Arc<BrokerServer>,
    link: Arc<Link>,
    options: Options,
    connection: u64,
}

impl SimulatedBroker {
    /// Over this link and connection.
    #[must_use]
    pub fn new(server: Arc<BrokerServer>, link: Arc<Link>, options: Options, connection: u64) -> Arc<Self> {
        Arc::new(Self { server, link, options, connection })
    }

    async fn call<T: Send + 'static>(
        &self,
        act: impl Fn(&BrokerServer) -> T + Clone + Send + 'static,
    ) -> Result<T, BrokerError> {
        let server = Arc::clone(&self.server);
        self.link.call(move || act(&server)).await.map_err(away)
    }
}

fn away(_: NoAnswer) -> BrokerError {
    BrokerError::Unavailable("no answer in time".to_owned())
}

#[async_trait]
impl Broker for SimulatedBroker {
    async fn can_publish(&self) -> Result<(), BrokerError> {
        self.call(BrokerServer::can_publish).await?
    }

    async fn publish(&self, part: Part) -> Result<(), BrokerError> {
        self.call(move |server| server.publish(&part)).await?
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        let connection = self.connection;
        // If the answer to a subscription is lost, the subscription ends with its channel: no consumer is left.
        let (server, link) = (Arc::clone(&self.server), Arc::clone(&self.link));
        let options = self.options;
        let mut made = self
            .link
            .call(move || {
                let (id, delivered) = server.subscribe(connection, prefetch);
                SimulatedConsumer {
                    server: Arc::clone(&server),
                    link: Arc::clone(&link),
                    options,
                    id,
                    delivered,
                    arriving: None,
                    ended: false,
                    handed: false,
                }
            })
            .await
            .map_err(away)?;
        made.handed = true;
        Ok(Box::new(made))
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.call(BrokerServer::depth).await
    }

    async fn broadcast(&self, hint: Hint) -> Result<(), BrokerError> {
        self.call(move |server| server.broadcast(hint)).await
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, BrokerError> {
        let connection = self.connection;
        let told = self.call(move |server| server.listen(connection)).await?;
        Ok(Box::new(SimulatedListener { link: Arc::clone(&self.link), told }))
    }

    async fn dead_letter(&self, part: Part, reason: &str) -> Result<(), BrokerError> {
        let reason = reason.to_owned();
        self.call(move |server| server.dead_letter(&part, &reason)).await?
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        self.call(move |server| server.dead_letters(limit)).await
    }

    async fn take_dead_letters(&self, which: WhichLetters) -> Result<Vec<TakenDeadLetter>, BrokerError> {
        let connection = self.connection;
        let taken = self.call(move |server| server.take_dead_letters(connection, which)).await?;
        let letter = |(at, part, reason): (u64, _, String)| TakenDeadLetter {
            letter: DeadLetter::of(&part, &reason),
            part: Some(part),
            acknowledge: Box::new(DeadInHand {
                server: Arc::clone(&self.server),
                link: Arc::clone(&self.link),
                at: Some(at),
            }),
        };
        Ok(taken.into_iter().map(letter).collect())
    }
}

/// A dead letter that an operator has taken. If it is dropped, it goes back.
struct DeadInHand {
    server: Arc<BrokerServer>,
    link: Arc<Link>,
    at: Option<u64>,
}

impl DeadInHand {
    async fn settle(mut self: Box<Self>, how: Settled) -> Result<(), BrokerError> {
        let Some(at) = self.at.take() else { return Ok(()) };
        let server = Arc::clone(&self.server);
        self.link.call(move || server.settle_taken(at, how)).await.map_err(away)?
    }
}

#[async_trait]
impl Acknowledge for DeadInHand {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(Settled::Forget).await
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        self.settle(Settled::Return).await
    }
}

impl Drop for DeadInHand {
    fn drop(&mut self) {
        if let Some(at) = self.at.take() {
            // The broker returns it at the latest with the process's connection, which is soon enough.
            let _ = self.server.settle_taken(at, Settled::Return);
        }
    }
}
