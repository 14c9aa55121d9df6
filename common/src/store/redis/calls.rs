//! Sends commands: again while Redis is away or is the wrong one, and never for longer than a call may take.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::faults::{RedisFault, Remedy};
use super::link::Link;
use crate::messages::Timestamp;
use crate::patience::Backoff;
use crate::store::StoreError;

/// How long one command may go without an answer before it is sent again over another connection: long beside a
/// slow disk, short beside a call's limit. Every command may be repeated.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Silence that says nothing of a connection yet.
const BRIEF: Duration = Duration::from_millis(500);

/// Between two tries on the same server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One kind of call, by its name in the logs' count of troubles, and its longest time.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) limit: Duration,
}

impl Link {
    /// Sends a command, again and again while that may help.
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
                    // What the server said tells most, and why no connection is made more than how the last one broke.
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

    /// Runs one command that stands after `TIME`, and learns the store's clock from that.
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
