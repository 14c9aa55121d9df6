//! Clients that send requests without a pause while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::client::{Client, Image, images};
use super::programs::{Fleet, eventually};

/// Some clients, each of which sends the next request when it is answered.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asking: Vec<JoinHandle<Vec<String>>>,
}

/// The errors that a client tolerates, and then retries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Excuse {
    /// None.
    None,
    /// Its job was lost by an operator: it passed its deadline, or is unknown.
    Lost,
}

impl Load {
    /// Starts this many clients.
    pub(super) fn start(client: &Client, clients: usize, excuse: Excuse) -> Self {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let asking = (0..clients)
            .map(|number| tokio::spawn(ask(client.clone(), (number, excuse), over.clone(), answered.clone())))
            .collect();
        Self { over, answered, asking }
    }

    /// Returns how many were answered so far.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits until this many more were answered.
    pub(super) async fn more(&self, count: usize) {
        let wanted = self.answered() + count;
        eventually("more requests are answered", async || (self.answered() >= wanted).then_some(())).await;
    }

    /// Waits until each client has its last answer, and returns the number of answers.
    pub(super) async fn end(self, fleet: &Fleet) -> usize {
        self.over.store(true, Ordering::SeqCst);
        let mut faults = Vec::new();
        for client in self.asking {
            faults.extend(client.await.unwrap());
        }
        let answered = self.answered.load(Ordering::SeqCst);
        let all = answered + faults.len();
        let count = faults.len();
        faults.sort();
        faults.dedup();
        assert!(faults.is_empty(), "{count} of {all} went wrong:\n{}\n{}", faults.join("\n"), fleet.logs());
        answered
    }
}

async fn ask(
    client: Client,
    (number, excuse): (usize, Excuse),
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<String> {
    let all = images();
    let mut faults = Vec::new();
    for turn in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let batch: Vec<Image> = (0..1 + turn % 5).map(|at| all[(turn + at) % all.len()].clone()).collect();
        match client.insist(number + turn, &batch, "wait=20").await {
            Ok(answer) => match answer.fault(&batch) {
                None => drop(answered.fetch_add(1, Ordering::SeqCst)),
                Some(_) if excuse == Excuse::Lost && answer.is_lost() => {}
                Some(fault) => faults.push(fault),
            },
            Err(fault) => faults.push(fault),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    faults
}
