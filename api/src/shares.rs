//! Limits the pixels of unanswered images per client.
//!
//! A fleet's queue is first in, first out for all clients. The limit bounds the time that workers need for one client's
//! large images, so that other clients' images are reached soon. Small images are limited by the queue's number of
//! parts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ids::ClientName;
use common::telemetry::api_names;

use crate::failure::{Code, Failure};

/// The shares of all clients.
pub(crate) struct Shares {
    most: u64,
    taken: Mutex<HashMap<Option<ClientName>, u64>>,
}

/// The share of one job, returned when dropped.
pub(crate) struct Share {
    shares: Arc<Shares>,
    client: Option<ClientName>,
    pixels: u64,
}

impl Shares {
    /// Takes a share: at most this many pixels per client, or any number for a client's only job.
    pub(crate) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    pub(crate) fn take(self: &Arc<Self>, client: Option<&ClientName>, pixels: u64) -> Result<Share, Failure> {
        let mut clients = self.taken();
        let taken = clients.entry(client.cloned()).or_default();
        let sum = taken.saturating_add(pixels);
        if *taken > 0 && sum > self.most {
            metrics::counter!(api_names::REQUESTS_SHED, "reason" => "pixels").increment(1);
            let detail = format!(
                "your images that are not classified yet would have {sum} pixels together with these, expected at most \
                 {}, send them again once others are",
                self.most
            );
            return Err(Failure::new(Code::TooManyPixelsWaiting, detail).retry_after(Duration::from_secs(1)));
        }
        *taken = sum;
        Ok(Share { shares: Arc::clone(self), client: client.cloned(), pixels })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Option<ClientName>, u64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = self.shares.taken();
        if let Some(taken) = clients.get_mut(&self.client) {
            *taken = taken.saturating_sub(self.pixels);
            if *taken == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_any_job_where_it_has_no_other() {
        let shares = Shares::new(100);
        let [a, b] = ["a", "b"].map(|name| ClientName::parse(name).unwrap());
        let first = shares.take(Some(&a), 60).unwrap();
        let second = shares.take(Some(&a), 40).unwrap();
        let refused = shares.take(Some(&a), 1).err().unwrap();
        assert_eq!(refused.code, Code::TooManyPixelsWaiting);
        let _other = shares.take(Some(&b), 100).unwrap();
        let _nameless = shares.take(None, 1_000).unwrap();
        assert!(shares.take(None, 1).is_err());
        drop(second);
        let _third = shares.take(Some(&a), 40).unwrap();
        drop(first);
        assert_eq!(shares.taken().len(), 3);
        assert_eq!(shares.taken().get(&Some(a)), Some(&40));
    }
}
