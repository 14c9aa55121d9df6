//! How long and how often something out of reach is tried again.

use std::future::Future;
use std::time::Duration;

use common::messages::Timestamp;
use common::store::StoreError;

/// Waits that grow from try to try.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Starts with `first` and doubles up to `longest`.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// How long to wait now.
    pub(super) fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        now
    }
}

/// Calls the store until it answers, as long as `useful_until` has not come and once in any case.
///
/// # Errors
/// The last error. What the store cannot understand is not asked twice.
pub(super) async fn ask<T, F>(useful_until: Timestamp, mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        match call().await {
            Err(StoreError::Unavailable(_)) if Timestamp::now() < useful_until => {
                tokio::time::sleep(backoff.step()).await;
            }
            ended @ (Ok(_) | Err(_)) => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn calls(useful_for: Duration, answers: &[Result<(), StoreError>]) -> (usize, bool) {
        let count = Cell::new(0);
        let answer = ask(Timestamp::now().after(useful_for), || {
            let answer = answers[count.get().min(answers.len() - 1)].clone();
            count.set(count.get() + 1);
            async { answer }
        });
        let succeeded = answer.await.is_ok();
        (count.get(), succeeded)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_until_it_answers() {
        let away = Err(StoreError::Unavailable("away".to_owned()));
        let answers = [away.clone(), away.clone(), away, Ok(())];
        assert_eq!(calls(Duration::from_secs(60), &answers).await, (4, true));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_once_when_the_answer_is_of_no_use_any_more() {
        let away = Err(StoreError::Unavailable("away".to_owned()));
        assert_eq!(calls(Duration::ZERO, &[away]).await, (1, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_does_not_understand_is_asked_once() {
        let malformed = Err(StoreError::Malformed("strange".to_owned()));
        assert_eq!(calls(Duration::from_secs(60), &[malformed]).await, (1, false));
    }
}
