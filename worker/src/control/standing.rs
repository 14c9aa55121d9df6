//! Whether this worker takes jobs, and if not, why, in one sentence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use common::store::StoreError;
use tokio::sync::watch;

/// Whether the queue delivers parts to this worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Taking {
    /// It was not asked to, or has not answered.
    #[default]
    NotYet,
    /// It does.
    Yes,
    /// It does not, for this reason.
    Failing(String),
}

/// What the components of a worker report about it.
#[derive(Default)]
pub(super) struct Standing {
    stopping: AtomicBool,
    cut_off: Mutex<Option<String>>,
    taking: watch::Sender<Taking>,
}

impl Standing {
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Notes whether the store answers; returns whether that is a change.
    pub(super) fn note_store(&self, error: Option<&StoreError>) -> bool {
        let mut cut_off = self.cut_off.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *cut_off, error.map(ToString::to_string));
        before.is_some() != error.is_some()
    }

    /// Returns why the store does not answer, while it does not.
    pub(super) fn cut_off(&self) -> Option<String> {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes whether the queue delivers parts; returns whether that is a change.
    pub(super) fn note_queue(&self, taking: Taking) -> bool {
        self.taking.send_if_modified(|before| {
            let is_news = *before != taking;
            *before = taking;
            is_news
        })
    }

    pub(super) fn taking(&self) -> Taking {
        self.taking.borrow().clone()
    }

    /// Waits until it is known whether the queue delivers parts. The caller bounds the wait.
    pub(super) async fn queue_answers(&self) -> Taking {
        let mut taking = self.taking.subscribe();
        let answer = taking.wait_for(|taking| *taking != Taking::NotYet).await;
        answer.map_or(Taking::NotYet, |taking| taking.clone())
    }
}

/// The sentence of a report if the queue delivers no parts.
pub(super) fn queue_problem(taking: &Taking) -> Option<String> {
    match taking {
        Taking::Failing(cause) => Some(format!("cannot take jobs from the queue: {cause}")),
        Taking::NotYet | Taking::Yes => None,
    }
}
