//! How long and how often calls are retried.

use std::future::Future;
use std::time::Duration;

use common::patience::persist;
use common::store::StoreError;

/// How long a part waits for the store or the broker. A restart of Redis takes less. After it the part is better off in
/// the queue: another worker may reach the server.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Calls the store until it answers, for at most `patience`.
///
/// # Errors
/// The last error. Refusals and malformed values are not retried.
pub(super) async fn ask<T, F>(patience: Duration, call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let is_transient = |error: &StoreError| match error {
        StoreError::Unavailable(_) => true,
        StoreError::Refused(_) | StoreError::Malformed(_) => false,
    };
    let answer = persist(patience, call, is_transient).await;
    answer.map_err(|error| {
        error.unwrap_or_else(|| StoreError::Unavailable("it did not answer in time".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    /// Runs `ask` against a store that gives these answers and then repeats the last one; returns whether it
    /// succeeds, and how long it takes.
    async fn calls(answers: &[Result<(), StoreError>]) -> (usize, bool, Duration) {
        let (count, begun) = (Cell::new(0), Instant::now());
        let answer = ask(PATIENCE, || {
            let answer = answers[count.get().min(answers.len() - 1)].clone();
            count.set(count.get() + 1);
            async { answer }
        });
        let succeeded = answer.await.is_ok();
        (count.get(), succeeded, begun.elapsed())
    }

    fn away() -> Result<(), StoreError> {
        Err(StoreError::Unavailable("away".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_for_a_moment_is_asked_until_it_answers() {
        let (count, succeeded, _) = calls(&[away(), away(), away(), Ok(())]).await;
        assert_eq!((count, succeeded), (4, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_away_or_hangs_is_given_up_within_seconds() {
        let (count, succeeded, took) = calls(&[away()]).await;
        assert!(count > 3 && !succeeded && took <= PATIENCE, "{count} calls took {took:?}");

        let begun = Instant::now();
        ask(PATIENCE, std::future::pending::<Result<(), StoreError>>).await.unwrap_err();
        assert_eq!(begun.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_refuses_or_does_not_understand_is_asked_once() {
        for error in [StoreError::Refused("full".to_owned()), StoreError::Malformed("strange".to_owned())] {
            assert_eq!(calls(&[Err(error)]).await, (1, false, Duration::ZERO));
        }
    }
}
