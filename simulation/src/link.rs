//! The network between a process and a server: requests and replies may be late, lost or duplicated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::options::{Fix, Options};
use crate::plan::Cut;
use crate::random::Random;

/// Timeout of a call, as in the real adapters.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two attempts on a server that refuses connections.
const AGAIN: Duration = Duration::from_millis(100);

/// The state of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Runs,
    /// It is frozen.
    Frozen,
    /// It is dead: its waits never end.
    Dead,
}

/// Shared by a process and its links.
#[derive(Debug)]
pub struct Pulse {
    life: Mutex<Life>,
    changed: Notify,
}

impl Pulse {
    /// Creates that of a running process.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { life: Mutex::new(Life::Runs), changed: Notify::new() })
    }

    /// Returns the state.
    #[must_use]
    pub fn life(&self) -> Life {
        *lock(&self.life)
    }

    /// Sets the state. A dead process stays dead.
    pub fn set(&self, life: Life) {
        let mut now = lock(&self.life);
        if *now != Life::Dead {
            *now = life;
        }
        drop(now);
        self.changed.notify_waiters();
    }

    /// Waits until the process runs.
    pub async fn beat(&self) {
        loop {
            let changed = self.changed.notified();
            if self.life() == Life::Runs {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the process is dead.
    pub async fn death(&self) {
        loop {
            let changed = self.changed.notified();
            if self.life() == Life::Dead {
                return;
            }
            changed.await;
        }
    }
}

/// The state of a link.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The direction that is cut.
    pub cut: Option<Cut>,
    /// Out of a hundred requests or replies so many are lost, and so many requests are duplicated.
    pub lossy: u64,
    /// Longest delay of requests and replies.
    pub late: Duration,
    /// The connection leads to a server that became a replica.
    pub stale: bool,
}

/// What happens to one call.
struct Trip {
    request: Duration,
    reply: Duration,
    arrives: bool,
    doubled: bool,
    returns: bool,
}

/// Whether a server accepts connections.
#[derive(Debug, Default)]
pub struct Door(Mutex<Option<Instant>>);

impl Door {
    /// Down until this moment.
    pub fn shut_until(&self, moment: Instant) {
        let mut shut = lock(&self.0);
        *shut = (*shut).max(Some(moment));
    }

    fn is_open(&self) -> bool {
        lock(&self.0).is_none_or(|moment| Instant::now() >= moment)
    }
}

/// A process's link to a server.
#[derive(Debug)]
pub struct Link {
    pulse: Arc<Pulse>,
    door: Arc<Door>,
    options: Options,
    weather: Mutex<Weather>,
    random: Mutex<Random>,
}

/// There was no answer in time: the request may or may not have been processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

impl Link {
    /// Creates a link to the server behind this door.
    #[must_use]
    pub fn new(pulse: Arc<Pulse>, door: Arc<Door>, options: Options, random: Random) -> Arc<Self> {
        let (weather, random) = (Mutex::default(), Mutex::new(random));
        Arc::new(Self { pulse, door, options, weather, random })
    }

    /// Returns the state of its process.
    #[must_use]
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Changes the state of the link.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.weather));
    }

    /// Returns the state of the link.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *lock(&self.weather)
    }

    /// Calls the server, which processes the request once, twice or never, and returns its last answer. What was sent
    /// arrives also if the caller stops waiting for the answer.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn call<T: Send + 'static>(
        &self,
        act: impl Fn() -> T + Clone + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.pulse.beat().await;
        let until = Instant::now() + CALL_LIMIT;
        loop {
            if self.weather().stale && self.options.has(Fix::ErrorsAreTold) {
                // The adapter knows the error and reconnects.
                self.change(|weather| weather.stale = false);
                sleep(AGAIN).await;
            }
            if !self.door.is_open() || self.weather().stale {
                // Refused at once, and so retried.
                if Instant::now() + AGAIN >= until {
                    return Err(NoAnswer);
                }
                sleep(AGAIN).await;
                continue;
            }
            let (tell, told) = oneshot::channel();
            let (trip, act) = (self.trip(), act.clone());
            let door = Arc::clone(&self.door);
            tokio::spawn(async move {
                sleep(trip.request).await;
                if !trip.arrives || !door.is_open() {
                    return;
                }
                let mut answer = act();
                if trip.doubled {
                    answer = act();
                }
                sleep(trip.reply).await;
                if trip.returns {
                    let _ = tell.send(answer);
                }
            });
            let answer = timeout_at(until, told).await;
            self.pulse.beat().await;
            match answer {
                Ok(Ok(answer)) => return Ok(answer),
                // Lost silently: the adapter notices it by its timeout.
                Ok(Err(_)) => {
                    tokio::time::sleep_until(until).await;
                    self.pulse.beat().await;
                    return Err(NoAnswer);
                }
                Err(_) => return Err(NoAnswer),
            }
        }
    }

    /// Waits for the delay of a message from the server, longer while replies are cut.
    pub async fn receive(&self) {
        loop {
            // A connection without heartbeats ends at the latest then.
            let span = self.trip().reply.min(CALL_LIMIT);
            sleep(span).await;
            self.pulse.beat().await;
            match self.weather().cut {
                None | Some(Cut::Requests) => return,
                Some(Cut::Replies | Cut::Both) => sleep(AGAIN).await,
            }
        }
    }

    fn trip(&self) -> Trip {
        let Weather { cut, lossy, late, stale: _ } = self.weather();
        let mut random = lock(&self.random);
        let mut span = || {
            let quick = random.span(0..3);
            match random.below(10) {
                _ if late.is_zero() => quick,
                0 => random.span(0..milliseconds(late)),
                1..4 => random.span(0..milliseconds(late) / 8),
                _ => quick,
            }
        };
        let (request, reply) = (span(), span());
        Trip {
            request,
            reply,
            arrives: !matches!(cut, Some(Cut::Requests | Cut::Both)) && !random.percent(lossy),
            doubled: random.percent(lossy),
            returns: !matches!(cut, Some(Cut::Replies | Cut::Both)) && !random.percent(lossy),
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a task that no caller waits for.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
