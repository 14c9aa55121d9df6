//! Calls to a server that may be away for a moment: try again while time remains.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Between two attempts: short beside a server's restart, long beside a refused connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Makes attempts until one succeeds, fails for good, or `limit` is over. The error is that of the last
/// attempt, or `None` when none has ended in time.
pub(crate) async fn persist<T, E, F>(
    limit: Duration,
    mut attempt: impl FnMut() -> F,
    is_transient: impl Fn(&E) -> bool,
) -> Result<T, Option<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let until = Instant::now() + limit;
    let mut last = None;
    loop {
        match timeout_at(until, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if is_transient(&error) => last = Some(error),
            Ok(Err(error)) => return Err(Some(error)),
            Err(_) => return Err(last),
        }
        if Instant::now() + PAUSE >= until {
            return Err(last);
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_passing_fault_is_tried_again_and_a_lasting_one_is_not() {
        let count = Cell::new(0);
        let attempt = || async {
            count.set(count.get() + 1);
            if count.get() < 3 { Err("away") } else { Ok(count.get()) }
        };
        let limit = Duration::from_secs(1);
        assert_eq!(persist(limit, attempt, |_| true).await, Ok(3));
        count.set(0);
        assert_eq!(persist(limit, attempt, |_| false).await, Err(Some("away")));
        assert_eq!(count.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_bounded_whether_attempts_fail_or_hang() {
        let begin = Instant::now();
        let limit = Duration::from_secs(2);
        let failed: Result<(), _> = persist(limit, || async { Err("away") }, |_| true).await;
        assert_eq!(failed, Err(Some("away")));
        assert!(begin.elapsed() <= limit);

        let begin = Instant::now();
        let hung = persist(limit, std::future::pending::<Result<(), &str>>, |_| true).await;
        assert_eq!((hung, begin.elapsed() <= limit + PAUSE), (Err(None), true));
    }
}
