//! Runs blocking work off the async threads.

use tokio::task::spawn_blocking;

use crate::simulated;

/// The work did not complete: it panicked, or the process is ending.
#[derive(Debug, Clone, thiserror::Error)]
#[error("work on a thread of its own was cut off: {0}")]
pub struct CutOff(String);

/// Runs `work` on a blocking thread and waits for it. If the caller is dropped, the work continues.
///
/// # Errors
/// [`CutOff`].
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CutOff> {
    if let Some(span) = simulated::inline() {
        tokio::time::sleep(span).await;
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|error| CutOff(error.to_string()))
}

/// Starts `work` on a blocking thread without waiting for it.
pub fn offload_alone(work: impl FnOnce() + Send + 'static) {
    if simulated::inline().is_some() {
        work();
        return;
    }
    spawn_blocking(work);
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};
    use std::time::Duration;

    use super::*;
    use crate::simulated::inline_after;

    async fn where_it_runs() -> ThreadId {
        offload(|| current().id()).await.expect("it ends")
    }

    #[tokio::test]
    async fn work_runs_on_another_thread_unless_told_otherwise() {
        let here = current().id();
        assert_ne!(where_it_runs().await, here);
        inline_after(Some(Duration::ZERO));
        assert_eq!(where_it_runs().await, here);
        inline_after(None);
        assert_ne!(where_it_runs().await, here);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert!(offload(|| panic!("no")).await.is_err());
    }
}
