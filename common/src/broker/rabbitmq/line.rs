//! A connection on demand, with one attempt and one back-off for all callers.
//!
//! lapin can recover connections by itself, but calls in flight may hang for many seconds. Here a broken connection
//! fails all its calls at once, and the next call makes a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::faults::{RabbitMqFault, Remedy};
use super::link::{Link, Route};
use crate::broker::BrokerError;
use crate::patience::{Backoff, Outage, persist};

/// Pause after the first failed attempt, and the longest pause. All processes of a fleet reconnect within the longest
/// one, once the server is back.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A connection that ends sooner than this counts as a failed attempt: a server that accepts and then closes
/// connections must not be tried without a pause.
const STEADY: Duration = Duration::from_secs(10);

/// The connection for one purpose.
#[derive(Clone)]
pub(super) struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    route: Route,
    inner: Mutex<Inner>,
    changed: Notify,
}

struct Inner {
    state: State,
    backoff: Backoff,
    outage: Outage,
    /// Why the last attempt failed, until one succeeds.
    last: Option<RabbitMqFault>,
}

enum State {
    /// Not connected; the next caller begins an attempt.
    Idle,
    Connecting,
    Up(Arc<Link>),
    /// No attempt before this moment.
    Resting(Instant),
}

/// What a caller finds.
enum Found {
    Up(Arc<Link>),
    /// Check again after a change, or at this moment.
    Wait(Option<Instant>),
    Refused(RabbitMqFault),
}

impl Line {
    pub(super) fn new(route: Route) -> Self {
        let inner = Inner {
            state: State::Idle,
            backoff: Backoff::new(FIRST_REST, LONGEST_REST),
            outage: Outage::default(),
            last: None,
        };
        Self { shared: Arc::new(Shared { route, inner: Mutex::new(inner), changed: Notify::new() }) }
    }

    /// Uses the connection, and retries within `limit` while the error may be temporary.
    pub(super) async fn call<T, F>(
        &self,
        limit: Duration,
        act: impl Fn(Arc<Link>) -> F,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = Result<T, RabbitMqFault>>,
    {
        let until = Instant::now() + limit;
        persist(limit, || self.with_link(until, &act), RabbitMqFault::is_transient)
            .await
            .map_err(|fault| fault.unwrap_or_else(RabbitMqFault::silent).into())
    }

    /// Uses the connection once, and repairs it if it failed.
    pub(super) async fn with_link<T, F>(
        &self,
        until: Instant,
        act: impl FnOnce(Arc<Link>) -> F,
    ) -> Result<T, RabbitMqFault>
    where
        F: Future<Output = Result<T, RabbitMqFault>>,
    {
        let link = self.link(until).await?;
        let outcome = act(Arc::clone(&link)).await;
        if let Err(fault) = &outcome {
            match fault.remedy() {
                Remedy::RetryHere => {
                    let declared = timeout_at(until, link.declare()).await;
                    if !matches!(declared, Ok(Ok(()))) {
                        self.give_up(&link, fault);
                    }
                }
                Remedy::Reconnect => self.give_up(&link, fault),
                Remedy::Refuse | Remedy::Bug => {}
            }
        }
        outcome
    }

    /// Returns the connection, waiting for it until then. If the server will certainly refuse, this fails at once.
    pub(super) async fn link(&self, until: Instant) -> Result<Arc<Link>, RabbitMqFault> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let wake = match self.shared.look() {
                Found::Up(link) => return Ok(link),
                Found::Refused(fault) => return Err(fault),
                Found::Wait(wake) => wake.unwrap_or(until).min(until),
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(wake) => {}
            }
            if Instant::now() >= until {
                let last = self.shared.inner().last.clone();
                return Err(last.unwrap_or_else(RabbitMqFault::silent));
            }
        }
    }

    /// Returns the connection if there is one.
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        match &self.shared.inner().state {
            State::Up(link) if link.is_up() => Some(Arc::clone(link)),
            State::Up(_) | State::Idle | State::Connecting | State::Resting(_) => None,
        }
    }

    /// Drops a connection, unless it was replaced already or is only blocked.
    pub(super) fn give_up(&self, link: &Arc<Link>, fault: &RabbitMqFault) {
        let mut inner = self.shared.inner();
        let is_current = matches!(&inner.state, State::Up(now) if Arc::ptr_eq(now, link));
        if is_current && !(link.is_up() && link.alarm().is_some()) {
            inner.lost(link, Some(fault.clone()));
        }
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current state, and begins an attempt if one is due.
    fn look(self: &Arc<Self>) -> Found {
        let mut inner = self.inner();
        if let State::Up(link) = &inner.state {
            let link = Arc::clone(link);
            if link.is_up() {
                return Found::Up(link);
            }
            inner.lost(&link, None);
        }
        match inner.state {
            State::Resting(due) if Instant::now() < due => match &inner.last {
                Some(fault) if !fault.is_transient() => Found::Refused(fault.clone()),
                Some(_) | None => Found::Wait(Some(due)),
            },
            State::Idle | State::Resting(_) => {
                inner.state = State::Connecting;
                self.begin();
                Found::Wait(None)
            }
            State::Connecting | State::Up(_) => Found::Wait(None),
        }
    }

    /// Attempts in a task of its own: a caller that gives up must not end the attempt, or callers with short timeouts
    /// would never get a connection.
    fn begin(self: &Arc<Self>) {
        let attempt = Attempt(Arc::clone(self));
        tokio::spawn(async move {
            let outcome = attempt.0.route.connect().await;
            attempt.0.conclude(outcome);
        });
    }

    fn conclude(&self, outcome: Result<Link, RabbitMqFault>) {
        let mut inner = self.inner();
        let (purpose, now) = (self.route.purpose.name(), Instant::now());
        match outcome {
            Ok(link) => {
                match inner.outage.over(now) {
                    Some(over) => tracing::info!(
                        connection = purpose,
                        attempts = over.attempts,
                        seconds = over.lasted.as_secs_f64(),
                        "connected to RabbitMQ again"
                    ),
                    None => tracing::debug!(connection = purpose, "connected to RabbitMQ"),
                }
                inner.last = None;
                inner.state = State::Up(Arc::new(link));
            }
            Err(fault) => {
                if let Some(attempts) = inner.outage.failed(fault.said(), now) {
                    tracing::warn!(
                        connection = purpose,
                        attempts,
                        "no connection to RabbitMQ, trying again: {}",
                        fault.said()
                    );
                }
                inner.last = Some(fault);
                inner.state = State::Resting(now + inner.backoff.next_pause());
            }
        }
    }
}

impl Inner {
    /// A connection has ended.
    fn lost(&mut self, link: &Link, fault: Option<RabbitMqFault>) {
        let now = Instant::now();
        if now.duration_since(link.made) > STEADY {
            self.backoff.reset();
            self.state = State::Idle;
        } else {
            self.state = State::Resting(now + self.backoff.next_pause());
        }
        self.last = fault;
    }
}

/// A running attempt. When it ends for any reason, callers stop waiting for it.
struct Attempt(Arc<Shared>);

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        if matches!(inner.state, State::Connecting) {
            inner.state = State::Idle;
        }
        drop(inner);
        self.0.changed.notify_waiters();
    }
}
