//! The network between one process and one server: requests and replies that are late, lost or doubled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::options::{Mend, Options};
use crate::plan::Cut;
use crate::random::Random;

/// Longest time for any one call, as the real adapters have it.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Between two attempts to reach a server that refuses connections.
const AGAIN: Duration = Duration::from_millis(100);

/// Whether a process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Runs,
    /// It stands still.
    Frozen,
    /// It is dead: whatever it waits for never ends.
    Dead,
}

/// What a process and all its links share.
#[derive(Debug)]
pub struct Pulse {
    life: Mutex<Life>,
    changed: Notify,
}

impl Pulse {
    /// That of a process that runs.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { life: Mutex::new(Life::Runs), changed: Notify::new() })
    }

    /// How it is.
    #[must_use]
    pub fn life(&self) -> Life {
        *lock(&self.life)
    }

    /// It is like this from now on. What is dead stays dead.
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

/// How a link is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// What is cut.
    pub cut: Option<Cut>,
    /// Of a hundred requests or replies so many are lost, and so many requests are doubled.
    pub lossy: u64,
    /// Requests and replies take up to so long.
    pub late: Duration,
    /// The connection leads to a server that became a replica.
    pub stale: bool,
}

/// What one call does on its way.
struct Trip {
    request: Duration,
    reply: Duration,
    arrives: bool,
    doubled: bool,
    returns: bool,
}

/// Whether a server lets anybody in.
#[derive(Debug, Default)]
pub struct Door(Mutex<Option<Instant>>);

impl Door {
    /// Shut until this moment.
    pub fn shut_until(&self, moment: Instant) {
        let mut shut = lock(&self.0);
        *shut = (*shut).max(Some(moment));
    }

    fn is_open(&self) -> bool {
        lock(&self.0).is_none_or(|moment| Instant::now() >= moment)
    }
}

/// One process's way to one server.
#[derive(Debug)]
pub struct Link {
    pulse: Arc<Pulse>,
    door: Arc<Door>,
    options: Options,
    weather: Mutex<Weather>,
    random: Mutex<Random>,
}

/// There was no answer in time: what was asked for may or may not have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

impl Link {
    /// A way to the server behind this door.
    #[must_use]
    pub fn new(pulse: Arc<Pulse>, door: Arc<Door>, options: Options, random: Random) -> Arc<Self> {
        let (weather, random) = (Mutex::default(), Mutex::new(random));
        Arc::new(Self { pulse, door, options, weather, random })
    }

    /// The process at its end.
    #[must_use]
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Changes how it is.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.weather));
    }

    /// How it is.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *lock(&self.weather)
    }

    /// Has the server do something, which it does once, twice or not at all, and tells what it says the last time.
    /// What was sent arrives also when nobody waits for the answer any more.
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
            if self.weather().stale && self.options.has(Mend::ErrorsAreTold) {
                // The adapter knows the error and connects anew.
                self.change(|weather| weather.stale = false);
                sleep(AGAIN).await;
            }
            if !self.door.is_open() || self.weather().stale {
                // Refused at once, and so tried again.
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
                // Lost in silence: the adapter learns of it when its time is up.
                Ok(Err(_)) => {
                    tokio::time::sleep_until(until).await;
                    self.pulse.beat().await;
                    return Err(NoAnswer);
                }
                Err(_) => return Err(NoAnswer),
            }
        }
    }

    /// Waits for as long as something that the server sends by itself takes, longer where replies are cut.
    pub async fn receive(&self) {
        loop {
            // Longer than that nobody keeps a connection whose heartbeats do not come.
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

/// What nobody else looks at, whatever became of who did.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
