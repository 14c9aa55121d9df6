//! Sends commands, and retries them within the call timeout while Redis is out of reach or not the right server.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::faults::{RedisFault, Remedy};
use super::link::Link;
use crate::messages::Timestamp;
use crate::patience::Backoff;
use crate::store::StoreError;

/// Timeout of one attempt, after which the command is sent over another connection: long compared with a slow disk,
/// short compared with a call. Every command may be repeated.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Silence that does not mean a broken connection yet.
const BRIEF: Duration = Duration::from_millis(500);

/// Pause between two attempts on the same server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A kind of call: its name in the log, and its timeout.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) limit: Duration,
}

impl Link {
    /// Sends a command, and retries it while that may help.
    pub(super) async fn call<T, F>(
        &self,
        call: Call,
        command: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let until = Instant::now() + call.limit;
        let mut pauses = None;
        let mut last = None;
        loop {
            let connection = match timeout_at(until, self.connection()).await {
                Ok(connection) => connection?,
                Err(_) => {
                    // The server's own error says most; why no connection is made says more than how the last one
                    // broke.
                    let said = last.take_if(|fault: &mut RedisFault| fault.is_answer);
                    let fault =
                        said.or_else(|| self.last_fault()).or(last).unwrap_or_else(RedisFault::silence);
                    return Err(StoreError::Unavailable(fault.text));
                }
            };
            let sent = Instant::now();
            let answer = command(connection.commands.clone());
            let fault = match timeout_at(until.min(sent + ANSWER_LIMIT), answer).await {
                Ok(Ok(value)) => {
                    self.troubles().over(call.name);
                    return Ok(value);
                }
                Ok(Err(error)) => RedisFault::of(&error),
                Err(_) => RedisFault::silence(),
            };
            self.troubles().met(call.name, &fault);
            match fault.remedy {
                Remedy::Refuse | Remedy::Bug => return Err(fault.into()),
                Remedy::Reconnect => {
                    if fault != RedisFault::silence() || sent.elapsed() >= BRIEF {
                        self.give_up(&connection, &fault);
                    }
                }
                Remedy::Retry => {
                    let pauses = pauses.get_or_insert_with(|| Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
                    sleep_until(until.min(Instant::now() + pauses.next_pause())).await;
                }
            }
            if Instant::now() >= until {
                return Err(fault.into());
            }
            last = Some(fault);
        }
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: Call,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.call(call, |mut connection| async move { script.invoke_async(&mut connection).await }).await
    }

    /// Runs one command after `TIME`, and learns the store's clock from that.
    pub(super) async fn timed<T: FromRedisValue>(
        &self,
        call: Call,
        pipeline: &Pipeline,
    ) -> Result<(Timestamp, T), StoreError> {
        let timed = |mut connection: MultiplexedConnection| async move {
            let sent = Instant::now();
            let ((seconds, micros), value): ((u64, u64), T) = pipeline.query_async(&mut connection).await?;
            let now = Timestamp(seconds * 1000 + micros / 1000);
            self.clock().learn(sent, Instant::now(), now);
            Ok((now, value))
        };
        self.call(call, timed).await
    }
}
