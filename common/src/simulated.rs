//! What a simulation sets for its thread: the host's clock, the seeds of back-offs, and where blocking work runs.
//!
//! A process outside of a simulation sets none of it, and only pays for reading a thread-local variable.

use std::cell::{Cell, RefCell};
use std::time::Duration;

type Clock = Box<dyn Fn() -> u64>;

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
    static SEEDS: Cell<Option<u64>> = const { Cell::new(None) };
    static INLINE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Makes `Timestamp::now` return this clock's time on this thread, in milliseconds since the Unix epoch.
pub fn tell(clock: impl Fn() -> u64 + 'static) {
    CLOCK.set(Some(Box::new(clock)));
}

/// Makes the back-offs that this thread creates from now on deterministic.
pub fn seed_all(seed: u64) {
    SEEDS.set(Some(seed));
}

/// Makes this thread run blocking work itself, after this simulated time: a simulation orders all work, and its time is
/// not that of other threads. `None` undoes it.
pub fn inline_after(span: Option<Duration>) {
    INLINE.set(span);
}

/// Returns the time of this thread's clock, if it has one.
pub(crate) fn told() -> Option<u64> {
    CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock()))
}

/// Returns the next seed of this thread, if it has seeds.
pub(crate) fn next_seed() -> Option<u64> {
    let seed = SEEDS.get()?;
    SEEDS.set(Some(seed.wrapping_add(1)));
    Some(seed)
}

/// Returns how long blocking work takes on this thread, if it runs it itself.
pub(crate) fn inline() -> Option<Duration> {
    INLINE.get()
}
