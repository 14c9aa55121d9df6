//! A lock between parts: the careful path runs alone in the process.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets many parts run concurrently, or one alone. First come, first served: while a careful part waits, no other
/// starts, so it is not starved. The waits need no bound: a holder waits only for decoding and the model, and the
/// waiting parts are no more than the worker's prefetch.
#[derive(Default)]
pub(super) struct Gate(RwLock<()>);

/// A permit, released when dropped.
#[expect(dead_code, reason = "guards are held for their drop, not read")]
pub(super) enum Pass<'gate> {
    /// With others.
    Shared(RwLockReadGuard<'gate, ()>),
    /// Alone.
    Alone(RwLockWriteGuard<'gate, ()>),
}

impl Gate {
    /// Waits until no part runs alone.
    pub(super) async fn beside_others(&self) -> Pass<'_> {
        Pass::Shared(self.0.read().await)
    }

    /// Waits until no part runs.
    pub(super) async fn alone(&self) -> Pass<'_> {
        Pass::Alone(self.0.write().await)
    }
}
