//! A connection that is made when it is needed, by one attempt and one back-off for everybody who waits.
//!
//! lapin can recover connections by itself, but what is in flight meanwhile may hang for many seconds.
//! Here a broken connection fails everything on it at once, and the next call makes a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::faults::{RabbitMqFault, Remedy};
use super::link::{Link, Route};
use crate::broker::BrokerError;
use crate::patience::{Backoff, Outage, persist};

/// Pause after the first failed attempt, and the longest after many. All processes of a fleet come back
/// within the longest, once the server is there again.
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A connection that ends sooner than this after it was made counts as a failed attempt: a server that
/// lets in and then throws out must not be asked without a pause.
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
    /// Not connected; the next who needs it begins an attempt.
    Idle,
    Connecting,
    Up(Arc<Link>),
    /// No attempt before this moment.
    Resting(Instant),
}

/// What a caller finds.
enum Found {
    Up(Arc<Link>),
    /// Look again at a change, or at this moment.
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

    /// Acts on the connection, again and again within `limit` while what failed may pass.
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

    /// Acts on the connection once, and mends it if that is what failed.
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

    /// The connection, waiting for it until then at the longest. While the server refuses for certain the
    /// answer comes at once.
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

    /// The connection as it is, without making one.
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        match &self.shared.inner().state {
            State::Up(link) if link.is_up() => Some(Arc::clone(link)),
            State::Up(_) | State::Idle | State::Connecting | State::Resting(_) => None,
        }
    }

    /// Lets a connection go, unless another took its place already or it is only blocked.
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

    /// What there is; begins an attempt where one is due.
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

    /// Makes an attempt in a task of its own: that a caller gives up must not end the attempt, or callers
    /// in a hurry would never have a connection.
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

/// An attempt under way. Whatever ends it, callers do not wait for it any more.
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
