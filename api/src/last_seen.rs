//! The fleet's state as this process saw it last.

use std::sync::{Arc, Mutex, PoisonError};

use common::fleet::FleetState;
use common::store::Revised;

/// The fleet's state as this process saw it last, if it did.
///
/// The store accepts no job under another revision than the remembered one, and revisions never repeat. Where they do all
/// the same, since a process of the release that counted them takes part, whoever changes the model forgets what it
/// remembers: its own swap is never answered with the model before.
#[derive(Default)]
pub(crate) struct LastSeen(Mutex<Option<Arc<Revised<FleetState>>>>);

impl LastSeen {
    /// What was seen, while it is remembered.
    pub(crate) fn get(&self) -> Option<Arc<Revised<FleetState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what was just read.
    pub(crate) fn set(&self, seen: Arc<Revised<FleetState>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// The next request looks anew.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
