//! Takes deliveries from the broker and starts a task for each, for as long as the worker may take jobs.
//!
//! The broker's prefetch bounds how many are in hand at a time. Whatever goes wrong with the connection,
//! what was taken is finished, and taking starts anew.

use std::sync::Arc;
use std::time::Duration;

use common::broker::{Broker, BrokerError, Consumer, Delivery};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::part::Handler;
use super::patience::Backoff;
use crate::control::Control;

/// A delivery is kept this long for a worker that has to look at the fleet's state again before it may
/// begin; then it goes to others.
const PATIENCE: Duration = Duration::from_secs(2);

/// The taking side of a worker.
pub(super) struct Intake {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) control: Arc<Control>,
    pub(super) handler: Arc<Handler>,
    pub(super) prefetch: u16,
    pub(super) stop: CancellationToken,
}

/// Why taking from one consumer ended.
enum Ended {
    /// The worker was told to stop.
    Stopped,
    /// The worker must not take jobs for now.
    NotCurrent,
    /// The broker ended the stream.
    Broken(Option<BrokerError>),
}

impl Intake {
    /// Takes deliveries until the worker is told to stop. Returns the tasks that are not done yet; to
    /// drop them gives their deliveries back.
    pub(super) async fn run(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let mut backoff = reconnecting();
        while self.may_take().await {
            match self.broker.consume(self.prefetch).await {
                Ok(mut consumer) => {
                    tracing::info!(prefetch = self.prefetch, "taking jobs");
                    let ended = self.take_from(consumer.as_mut(), &mut tasks, &mut backoff).await;
                    if let Err(error) = consumer.stop().await {
                        tracing::debug!(%error, "the consumer could not be stopped, its channel is gone");
                    }
                    match ended {
                        Ended::Stopped => break,
                        Ended::NotCurrent => {
                            tracing::info!("not taking jobs until the active model is loaded")
                        }
                        Ended::Broken(error) => self.report_break(error, &mut backoff).await,
                    }
                }
                Err(error) => self.report_break(Some(error), &mut backoff).await,
            }
        }
        tasks
    }

    /// Waits until the worker may take jobs; false when it is told to stop instead.
    async fn may_take(&self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            current = self.control.current() => current.is_ok(),
        }
    }

    async fn take_from(
        &self,
        consumer: &mut dyn Consumer,
        tasks: &mut JoinSet<()>,
        backoff: &mut Backoff,
    ) -> Ended {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ended::Stopped,
                Some(done) = tasks.join_next(), if !tasks.is_empty() => note_end(done),
                next = consumer.next() => match next {
                    Ok(Some(delivery)) => {
                        *backoff = reconnecting();
                        if let Some(ended) = self.begin(delivery, tasks).await {
                            return ended;
                        }
                    }
                    Ok(None) => return Ended::Broken(None),
                    Err(error) => return Ended::Broken(Some(error)),
                },
            }
        }
    }

    /// Starts a task for a delivery, or gives it back when this worker must not begin it.
    async fn begin(&self, delivery: Delivery, tasks: &mut JoinSet<()>) -> Option<Ended> {
        // A process that was frozen finds a delivery in its hands and an old view of the fleet.
        let current = tokio::time::timeout(PATIENCE, self.may_take()).await;
        let ended = match current {
            Ok(true) => {
                let handler = Arc::clone(&self.handler);
                tasks.spawn(async move { handler.handle(delivery).await });
                return None;
            }
            Ok(false) => Ended::Stopped,
            Err(_) => Ended::NotCurrent,
        };
        if let Err(error) = delivery.acknowledge.requeue().await {
            tracing::debug!(%error, "a part could not be given back, the broker gives it out again by itself");
        }
        Some(ended)
    }

    async fn report_break(&self, error: Option<BrokerError>, backoff: &mut Backoff) {
        let pause = backoff.step();
        match error {
            Some(error) => tracing::warn!(%error, ?pause, "lost the queue, taking it up again"),
            None => tracing::warn!(?pause, "the queue ended, taking it up again"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

fn reconnecting() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

/// Says what ended a task that did not end by itself.
pub(super) fn note_end(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "a part's task ended early, the broker gives the part out again");
    }
}
