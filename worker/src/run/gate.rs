//! Who may work beside whom: careful work is alone in the process.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Lets many parts through side by side, or one alone. First come, first served: while careful work
/// waits, nothing new starts, so it is not put off for ever. The waits need no bound: who holds a pass waits
/// for decoding and the model alone, and what the gate holds back is in the worker's hands, no more than its
/// prefetch.
#[derive(Default)]
pub(super) struct Gate(RwLock<()>);

/// The right to work; given back when dropped.
#[expect(dead_code, reason = "guards are held for their drop, not read")]
pub(super) enum Pass<'gate> {
    /// Beside others.
    Shared(RwLockReadGuard<'gate, ()>),
    /// Alone.
    Alone(RwLockWriteGuard<'gate, ()>),
}

impl Gate {
    /// Waits until nobody works alone.
    pub(super) async fn beside_others(&self) -> Pass<'_> {
        Pass::Shared(self.0.read().await)
    }

    /// Waits until nobody works.
    pub(super) async fn alone(&self) -> Pass<'_> {
        Pass::Alone(self.0.write().await)
    }
}
