//! Limits the unconfirmed bytes of each client.
//!
//! All parts are published in order over one connection. A client with large images would fill it, and small images of
//! other clients would wait behind them. So a client's parts wait for each other here, before they are published.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::link::ROOM;
use crate::ids::ClientName;

/// Most unconfirmed bytes of one client: half of a connection's limit.
const SHARE: usize = ROOM / 2;

/// The unconfirmed bytes of all clients. There are as many entries as keys have names.
#[derive(Default)]
pub(super) struct UnderWay {
    clients: Mutex<HashMap<Option<ClientName>, Arc<Semaphore>>>,
}

impl UnderWay {
    /// Waits until the client may have this many more bytes; they count until the returned value is dropped. A part
    /// that is larger than a client's whole share is published alone. The caller bounds the wait.
    pub(super) async fn enter(&self, client: Option<&ClientName>, bytes: usize) -> OwnedSemaphorePermit {
        let share = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let share = clients.entry(client.cloned());
            Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(SHARE))))
        };
        let bytes = u32::try_from(bytes.clamp(1, SHARE)).unwrap_or(u32::MAX);
        share.acquire_many_owned(bytes).await.unwrap_or_else(|_| unreachable!("nobody closes a share"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_clients_parts_wait_for_its_own_alone() {
        let under_way = UnderWay::default();
        let [one, two] = ["one", "two"].map(|name| ClientName::parse(name).ok());
        let first = under_way.enter(one.as_ref(), SHARE - 1).await;
        let _fits = under_way.enter(one.as_ref(), 1).await;
        let mut waits = Box::pin(under_way.enter(one.as_ref(), 1));
        assert!(waits.as_mut().now_or_never().is_none());
        for other in [two.as_ref(), None] {
            assert!(under_way.enter(other, 3 * SHARE).now_or_never().is_some());
        }
        drop(first);
        assert!(waits.now_or_never().is_some());
    }
}
