//! Counts deadly tries of parts in the store.
//!
//! The broker counts all deliveries, also those that ended because the store was out of reach. So the tries that decide
//! about giving up are counted here. A count is raised before a try that may kill the worker, and lowered when the
//! worker survived. If the store cannot lower it at once, the worker owes it and pays when the store answers: an outage
//! never counts as a death.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::messages::{Part, PartId};
use common::patience::Backoff;
use common::store::{Store, StoreError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::patience::ask;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The try of the image at this position.
    Image(u32),
    /// A delivery until its first image is tried: a worker that dies during it died before it could try one.
    Delivery,
    /// Workers that lack what the part needs.
    Search,
}

impl What {
    /// The position under which the store counts it. No request has so many images.
    fn position(self) -> u32 {
        match self {
            Self::Image(position) => position,
            Self::Delivery => u32::MAX,
            Self::Search => u32::MAX - 1,
        }
    }
}

/// Counts tries, for one worker.
pub(super) struct Tries {
    store: Arc<dyn Store>,
    patience: Duration,
    debts: Debts,
    /// Pays the debts. Ends with the worker.
    payers: Mutex<JoinSet<()>>,
}

/// By part and position.
type Debts = Arc<Mutex<HashMap<(PartId, u32), Arc<Debt>>>>;

/// A debt: what the store still has to take back of one count.
#[derive(Default)]
struct Debt {
    times: AtomicU32,
    /// Held while paying, so that nothing is paid twice.
    paying: tokio::sync::Mutex<()>,
}

impl Debt {
    async fn pay(&self, store: &dyn Store, part: PartId, position: u32) -> Result<(), StoreError> {
        let _alone = self.paying.lock().await;
        while self.times.load(Ordering::Acquire) > 0 {
            store.end_try(part, position).await?;
            self.times.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Tries {
    pub(super) fn new(store: Arc<dyn Store>, patience: Duration) -> Self {
        Self { store, patience, debts: Debts::default(), payers: Mutex::default() }
    }

    /// Raises the count and returns it, from 1. This worker's debts are paid first.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub(super) async fn begin(&self, part: &Part, what: What) -> Result<u32, StoreError> {
        let position = what.position();
        let debt = lock(&self.debts).get(&(part.id, position)).cloned();
        if let Some(debt) = debt {
            let late = |_| Err(StoreError::Unavailable("it did not answer in time".to_owned()));
            timeout(self.patience, debt.pay(&*self.store, part.id, position)).await.unwrap_or_else(late)?;
        }
        let mut calls = 0;
        let counted = ask(self.patience, || {
            calls += 1;
            self.store.begin_try(part.id, position)
        })
        .await;
        // A failed call may have been counted nevertheless.
        self.owe(part, what, if counted.is_ok() { calls - 1 } else { calls });
        counted
    }

    /// Lowers the count: the worker survived.
    pub(super) async fn take_back(&self, part: &Part, what: What) {
        if let Err(error) = ask(self.patience, || self.store.end_try(part.id, what.position())).await {
            tracing::debug!(%error, ?what, "the store did not take a try back, it is retried");
            self.owe(part, what, 1);
        }
    }

    fn owe(&self, part: &Part, what: What, times: u32) {
        if times == 0 {
            return;
        }
        let key = (part.id, what.position());
        let mut debts = lock(&self.debts);
        let is_new = !debts.contains_key(&key);
        let debt = debts.entry(key).or_default();
        debt.times.fetch_add(times, Ordering::AcqRel);
        if is_new {
            let debt = Arc::clone(debt);
            let (store, debts, deadline) = (Arc::clone(&self.store), Arc::clone(&self.debts), part.deadline);
            let mut payers = lock(&self.payers);
            while payers.try_join_next().is_some() {}
            payers.spawn(async move {
                // Frequent, so that other workers do not see the debt as deaths.
                let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
                loop {
                    backoff.pause().await;
                    let paid = debt.pay(&*store, key.0, key.1).await;
                    let mut debts = lock(&debts);
                    let is_paid = paid.is_ok() && debt.times.load(Ordering::Acquire) == 0;
                    // After its deadline the part ends without being counted.
                    if is_paid || store.now() >= deadline {
                        debts.remove(&key);
                        return;
                    }
                }
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
