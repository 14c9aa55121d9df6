//! Work that blocks its thread, away from the threads that everything else runs on.

#[cfg(feature = "testing")]
use std::cell::Cell;
#[cfg(feature = "testing")]
use std::time::Duration;

use tokio::task::spawn_blocking;

/// The work did not end: it panicked, or the process is ending.
#[derive(Debug, Clone, thiserror::Error)]
#[error("work on a thread of its own was cut off: {0}")]
pub struct CutOff(String);

#[cfg(feature = "testing")]
thread_local! {
    static INLINE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Does `work` on a thread that may block, and waits for it. It goes on when nobody waits any more.
///
/// # Errors
/// [`CutOff`].
pub async fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CutOff> {
    #[cfg(feature = "testing")]
    if let Some(span) = INLINE.get() {
        tokio::time::sleep(span).await;
        return Ok(work());
    }
    spawn_blocking(work).await.map_err(|error| CutOff(error.to_string()))
}

/// Begins `work` on a thread that may block; nobody waits for it.
pub fn offload_alone(work: impl FnOnce() + Send + 'static) {
    #[cfg(feature = "testing")]
    if INLINE.get().is_some() {
        work();
        return;
    }
    spawn_blocking(work);
}

/// Makes this thread do such work itself from now on, once this long has passed: for simulations, which do all work
/// in the order that they choose and whose time is not that of other threads. `None` undoes it.
#[cfg(feature = "testing")]
pub fn inline_after(span: Option<Duration>) {
    INLINE.set(span);
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::thread::{ThreadId, current};

    use super::*;

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
