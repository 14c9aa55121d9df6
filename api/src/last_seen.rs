//! The fleet's state as this process last read it.

use std::sync::{Arc, Mutex, PoisonError};

use common::fleet::FleetState;
use common::store::Revised;

/// The fleet's state as this process last read it, if it did.
///
/// The store accepts a job only under the remembered revision, and revisions never repeat. Processes of an older
/// release count revisions, so they may repeat there. Therefore the process that changes the model forgets what it
/// remembers: its next request never gets the previous model.
#[derive(Default)]
pub(crate) struct LastSeen(Mutex<Option<Arc<Revised<FleetState>>>>);

impl LastSeen {
    /// Returns the remembered state.
    pub(crate) fn get(&self) -> Option<Arc<Revised<FleetState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers a state that was just read.
    pub(crate) fn set(&self, seen: Arc<Revised<FleetState>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Forgets the state: the next request reads it again.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
