//! Consumes deliveries and starts a task for each, while the worker may take jobs.
//!
//! The broker's prefetch limits the concurrent parts. After a connection error the current parts are finished, and the
//! worker subscribes again.

use std::sync::Arc;
use std::time::Duration;

use common::broker::{Broker, BrokerError, Consumer, Delivery};
use common::patience::{Backoff, Outage};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::part::Handler;
use super::settle::requeue;
use crate::control::{Control, Taking};

/// How long a delivery is held by a worker that has to read the fleet's state again; after that it goes to others.
const PATIENCE: Duration = Duration::from_secs(2);

/// Timeout of stopping a consumer. One whose broker does not answer is abandoned.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Longest pause between two attempts to subscribe again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Consumes parts for a worker.
pub(super) struct Intake {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) control: Arc<Control>,
    pub(super) handler: Arc<Handler>,
    pub(super) prefetch: u16,
    pub(super) stop: CancellationToken,
}

/// Why consuming ended.
enum Ended {
    /// The worker was stopped.
    Stopped,
    /// The worker may not take jobs for now.
    NotCurrent,
    /// The broker ended the subscription.
    Broken(Option<BrokerError>),
}

impl Intake {
    /// Consumes deliveries until the worker is stopped. Returns the unfinished tasks; dropping them returns their
    /// deliveries.
    pub(super) async fn run(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (mut backoff, mut outage) = (reconnecting(), Outage::default());
        while self.may_take().await {
            let consumer = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                consumer = self.broker.consume(self.prefetch) => consumer,
            };
            let ended = match consumer {
                Ok(consumer) => {
                    tracing::info!(prefetch = self.prefetch, "taking jobs");
                    self.control.takes(Taking::Yes);
                    outage.over(Instant::now());
                    self.take_from(consumer, &mut tasks, &mut backoff).await
                }
                Err(error) => Ended::Broken(Some(error)),
            };
            match ended {
                Ended::Stopped => break,
                Ended::NotCurrent => {
                    self.control.takes(Taking::NotYet);
                    tracing::info!("no jobs are taken until the active model is loaded");
                }
                Ended::Broken(error) => self.report_break(error, &mut backoff, &mut outage).await,
            }
        }
        self.control.takes(Taking::NotYet);
        tasks
    }

    /// Waits until the worker may take jobs; returns false if it is stopped. Needs no bound: the worker's health check
    /// tells why it takes none.
    async fn may_take(&self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            current = self.control.current() => current.is_ok(),
        }
    }

    /// Consumes deliveries until something ends that. The consumer is dropped in any case: after the end of its stream
    /// it is useless.
    async fn take_from(
        &self,
        mut consumer: Box<dyn Consumer>,
        tasks: &mut JoinSet<()>,
        backoff: &mut Backoff,
    ) -> Ended {
        let ended = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ended::Stopped,
                Some(done) = tasks.join_next(), if !tasks.is_empty() => note_end(done),
                next = consumer.next() => match next {
                    Ok(Some(delivery)) => {
                        backoff.reset();
                        if let Some(ended) = self.begin(delivery, tasks).await {
                            break ended;
                        }
                    }
                    Ok(None) => return Ended::Broken(None),
                    Err(error) => return Ended::Broken(Some(error)),
                },
            }
        };
        match timeout(STOP_LIMIT, consumer.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the consumer could not be stopped, its channel is gone");
            }
            Err(_) => tracing::debug!("the broker does not answer, the consumer is abandoned"),
        }
        ended
    }

    /// Starts a task for a delivery, or returns it if this worker must not begin it.
    async fn begin(&self, delivery: Delivery, tasks: &mut JoinSet<()>) -> Option<Ended> {
        // A process that was frozen has a delivery and an old state of the fleet.
        let current = timeout(PATIENCE, self.may_take()).await;
        let ended = match current {
            Ok(true) => {
                let handler = Arc::clone(&self.handler);
                tasks.spawn(async move { handler.handle(delivery).await });
                return None;
            }
            Ok(false) => Ended::Stopped,
            Err(_) => Ended::NotCurrent,
        };
        requeue(delivery.acknowledge).await;
        Some(ended)
    }

    async fn report_break(&self, error: Option<BrokerError>, backoff: &mut Backoff, outage: &mut Outage) {
        let pause = backoff.next_pause();
        let error = error.map_or_else(|| "the subscription ended".to_owned(), |error| error.to_string());
        self.control.takes(Taking::Failing(error.clone()));
        match outage.failed(&error, Instant::now()) {
            Some(attempts) => tracing::warn!(
                error,
                ?pause,
                attempts,
                "lost the subscription to the queue, subscribing again"
            ),
            None => tracing::debug!(error, ?pause, "still not subscribed to the queue"),
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

fn reconnecting() -> Backoff {
    Backoff::new(Duration::from_millis(100), LONGEST_PAUSE)
}

/// Logs why a task did not end by itself.
pub(super) fn note_end(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "a part's task ended early, the broker delivers the part again");
    }
}
