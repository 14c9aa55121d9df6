//! Limits the bytes of requests and answers in memory.

use std::sync::Arc;
use std::time::Duration;

use common::telemetry::api_names;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Code, Failure};

/// Bytes per semaphore permit: a semaphore counts to 2^32 at most.
const UNIT: usize = 1024;

/// A limit on bytes in memory.
#[derive(Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total: usize,
    of: Kind,
}

/// What the bytes belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Requests,
    Answers,
}

/// A reservation, returned when dropped.
pub(crate) struct Reserved {
    permit: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Budget {
    /// Creates a budget of this many bytes of requests.
    pub(crate) fn of_requests(bytes: usize) -> Self {
        Self::new(bytes, Kind::Requests)
    }

    /// Creates a budget of this many bytes of answers.
    pub(crate) fn of_answers(bytes: usize) -> Self {
        Self::new(bytes, Kind::Answers)
    }

    fn new(bytes: usize, of: Kind) -> Self {
        let total = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total)), total, of }
    }

    /// Reserves this many bytes.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reserved, Failure> {
        let mut reserved = Reserved { permit: None, budget: self.clone() };
        reserved.grow_to(bytes)?;
        Ok(reserved)
    }

    fn record(&self) {
        if self.of == Kind::Answers {
            return;
        }
        let used = self.total.saturating_sub(self.units.available_permits()) * UNIT;
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!(api_names::BYTES_IN_FLIGHT).set(used as f64);
    }
}

impl Reserved {
    /// Grows the reservation to at least this many bytes.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(UNIT).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.budget.units).try_acquire_many_owned(missing) else {
            metrics::counter!(api_names::REQUESTS_SHED, "reason" => "memory").increment(1);
            let of = match self.budget.of {
                Kind::Requests => "request",
                Kind::Answers => "answer",
            };
            return Err(Failure::new(
                Code::ServerBusy,
                format!("this server holds as many {of} bytes as it may, try again"),
            )
            .retry_after(Duration::from_secs(1)));
        };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.budget.record();
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.permit = None;
        self.budget.record();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_comes_back_when_it_is_dropped() {
        let budget = Budget::of_requests(4 * UNIT);
        let mut first = budget.reserve(UNIT + 1).unwrap();
        assert!(budget.reserve(3 * UNIT).is_err());
        first.grow_to(4 * UNIT).unwrap();
        assert!(budget.reserve(1).is_err());
        drop(first);
        assert!(budget.reserve(4 * UNIT).is_ok());
    }
}
