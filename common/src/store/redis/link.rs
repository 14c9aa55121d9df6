//! The connection for a store's commands: made on demand, replaced when it is broken or leads to the wrong server, with
//! one attempt at a time for all callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, Pipeline, RedisConnectionInfo};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::address::UnusableUrl;
use super::faults::{RedisFault, Remedy};
use super::troubles::Troubles;
use crate::messages::Timestamp;
use crate::patience::Backoff;
use crate::store::StoreClock;

/// Timeout of one attempt to connect and log in.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The first pause after a failure; it doubles with each further failure, up to one of the longest.
const FIRST_REST: Duration = Duration::from_millis(50);

/// Short, so that a server that comes back is used soon.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A refused login needs an operator, and each attempt adds a line to the server's log.
const LONGEST_REST_REFUSED: Duration = Duration::from_secs(5);

/// A connection that lasted this long was good: its end is a new outage.
const STEADY: Duration = Duration::from_secs(10);

/// A connection, with a number.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    number: u64,
    opened_at: Instant,
    /// As far as the failures just before it allow.
    rests: Rests,
}

/// The state after a failure.
#[derive(Clone)]
struct Rest {
    until: Instant,
    rests: Rests,
    fault: RedisFault,
}

/// The pause after several failures in a row.
#[derive(Clone)]
struct Rests {
    away: Backoff,
    refused: Backoff,
}

#[derive(Clone)]
enum State {
    /// Not connected yet.
    Idle,
    /// No attempt before the pause is over.
    Resting(Rest),
    /// One attempt runs for all callers; the field has the previous state, if any.
    Connecting(Option<Rest>),
    Open(Connection),
}

/// Makes connections and holds the current one.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    /// Logs in on a new connection, and reads the clock.
    greeting: Pipeline,
    connect_limit: Duration,
    state: watch::Sender<State>,
    count: AtomicU64,
    clock: Arc<StoreClock>,
    troubles: Arc<Troubles>,
}

impl Link {
    pub(super) fn new(info: &ConnectionInfo, call_timeout: Duration) -> Result<Self, UnusableUrl> {
        // The crate's own login would replace every error of the server by "authentication failed".
        let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
        let client = Client::open(info.clone().set_redis_settings(bare)).map_err(UnusableUrl::from_client)?;
        let shared = Shared {
            client,
            greeting: greeting(info.redis_settings()),
            connect_limit: CONNECT_LIMIT.min(call_timeout),
            state: watch::Sender::new(State::Idle),
            count: AtomicU64::new(0),
            clock: Arc::default(),
            troubles: Arc::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Creates a link with a connection of its own, to the same server.
    pub(super) fn beside(&self) -> Self {
        let Shared { client, greeting, connect_limit, clock, troubles, state: _, count: _ } = &*self.shared;
        let shared = Shared {
            client: client.clone(),
            greeting: greeting.clone(),
            connect_limit: *connect_limit,
            state: watch::Sender::new(State::Idle),
            count: AtomicU64::new(0),
            clock: Arc::clone(clock),
            troubles: Arc::clone(troubles),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn clock(&self) -> &StoreClock {
        &self.shared.clock
    }

    pub(super) fn troubles(&self) -> &Troubles {
        &self.shared.troubles
    }

    /// Returns the current connection or a new one. Waits without a limit; a refusal fails at once.
    pub(super) async fn connection(&self) -> Result<Connection, RedisFault> {
        if let State::Open(connection) = &*self.shared.state.borrow() {
            return Ok(connection.clone());
        }
        let mut state = self.shared.state.subscribe();
        loop {
            let current = state.borrow_and_update().clone();
            match current {
                State::Open(connection) => return Ok(connection),
                State::Resting(rest) if Instant::now() < rest.until => {
                    if rest.fault.remedy == Remedy::Refuse {
                        return Err(rest.fault);
                    }
                    tokio::select! {
                        () = sleep_until(rest.until) => {}
                        _ = state.changed() => {}
                    }
                }
                State::Idle | State::Resting(_) => self.connect(),
                // The sender lives as long as `self`.
                State::Connecting(_) => _ = state.changed().await,
            }
        }
    }

    /// Makes the next caller connect again, unless this connection was dropped already.
    pub(super) fn give_up(&self, connection: &Connection, fault: &RedisFault) {
        let was_steady = connection.opened_at.elapsed() >= STEADY;
        let rests = if was_steady { Rests::default() } else { connection.rests.clone() };
        self.shared.state.send_if_modified(|state| {
            let is_current = matches!(state, State::Open(open) if open.number == connection.number);
            if is_current {
                *state = State::Resting(Rest::after(rests, fault.clone()));
            }
            is_current
        });
    }

    /// Returns why there is no connection.
    pub(super) fn last_fault(&self) -> Option<RedisFault> {
        match &*self.shared.state.borrow() {
            State::Idle | State::Open(_) => None,
            State::Resting(rest) => Some(rest.fault.clone()),
            State::Connecting(rest) => rest.as_ref().map(|rest| rest.fault.clone()),
        }
    }

    /// Waits until the current connection is another than the one with this number, and returns its number.
    pub(super) async fn other_than(&self, number: Option<u64>) -> u64 {
        let mut state = self.shared.state.subscribe();
        loop {
            if let State::Open(connection) = &*state.borrow_and_update()
                && number != Some(connection.number)
            {
                return connection.number;
            }
            // The sender lives as long as `self`.
            _ = state.changed().await;
        }
    }

    /// Begins an attempt, unless one is running. It continues if its callers give up.
    fn connect(&self) {
        let mut rest = None;
        let is_mine = self.shared.state.send_if_modified(|state| {
            rest = match state {
                State::Idle => None,
                State::Resting(rest) if rest.until <= Instant::now() => Some(rest.clone()),
                State::Resting(_) | State::Connecting(_) | State::Open(_) => return false,
            };
            *state = State::Connecting(rest.clone());
            true
        });
        if is_mine {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                let rests = rest.map_or_else(Rests::default, |rest| rest.rests);
                let state = match shared.connect().await {
                    Ok(commands) => State::Open(Connection {
                        commands,
                        number: shared.count.fetch_add(1, Ordering::Relaxed),
                        opened_at: Instant::now(),
                        rests,
                    }),
                    Err(fault) => {
                        shared.troubles.not_reached(&fault);
                        State::Resting(Rest::after(rests, fault))
                    }
                };
                shared.state.send_replace(state);
            });
        }
    }
}

impl Shared {
    async fn connect(&self) -> Result<MultiplexedConnection, RedisFault> {
        let config = AsyncConnectionConfig::new()
            // The whole attempt is bounded below, and each command where it is sent.
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let attempt = async {
            let mut commands = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            let sent = Instant::now();
            let ((seconds, micros),): ((u64, u64),) = self.greeting.query_async(&mut commands).await?;
            self.clock.learn(sent, Instant::now(), Timestamp(seconds * 1000 + micros / 1000));
            Ok(commands)
        };
        match timeout(self.connect_limit, attempt).await {
            Ok(outcome) => outcome.map_err(|error| RedisFault::of(&error)),
            Err(_) => Err(RedisFault::silence()),
        }
    }
}

impl Rest {
    fn after(mut rests: Rests, fault: RedisFault) -> Self {
        let pauses = match fault.remedy {
            Remedy::Refuse => &mut rests.refused,
            Remedy::Retry | Remedy::Reconnect | Remedy::Bug => &mut rests.away,
        };
        Self { until: Instant::now() + pauses.next_pause(), rests, fault }
    }
}

impl Default for Rests {
    fn default() -> Self {
        Self {
            away: Backoff::new(FIRST_REST, LONGEST_REST),
            refused: Backoff::new(FIRST_REST, LONGEST_REST_REFUSED),
        }
    }
}

fn greeting(settings: &RedisConnectionInfo) -> Pipeline {
    let mut pipeline = redis::pipe();
    // A user without a password may not need one.
    match (settings.username(), settings.password()) {
        (Some(user), password) => {
            pipeline.cmd("AUTH").arg(user).arg(password.unwrap_or_default()).ignore();
        }
        (None, Some(password)) => {
            pipeline.cmd("AUTH").arg(password).ignore();
        }
        (None, None) => {}
    }
    if settings.db() != 0 {
        pipeline.cmd("SELECT").arg(settings.db()).ignore();
    }
    pipeline.cmd("TIME");
    pipeline
}
