//! What a simulation sets for its thread: the host's clock, the seeds of back-offs, and where blocking work runs.
//!
//! A process that is not simulated sets none of it. A look at a variable of the thread is all that it costs.

use std::cell::{Cell, RefCell};
use std::time::Duration;

type Clock = Box<dyn Fn() -> u64>;

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
    static SEEDS: Cell<Option<u64>> = const { Cell::new(None) };
    static INLINE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Makes `Timestamp::now` tell this clock's time on this thread from now on, in milliseconds since the Unix epoch.
pub fn tell(clock: impl Fn() -> u64 + 'static) {
    CLOCK.set(Some(Box::new(clock)));
}

/// Makes the back-offs that this thread makes from now on the same for the same seed.
pub fn seed_all(seed: u64) {
    SEEDS.set(Some(seed));
}

/// Makes this thread do blocking work itself from now on, once this long has passed: a simulation does all work in the
/// order that it chooses, and its time is not that of other threads. `None` undoes it.
pub fn inline_after(span: Option<Duration>) {
    INLINE.set(span);
}

/// What the clock of this thread tells, if there is one.
pub(crate) fn told() -> Option<u64> {
    CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock()))
}

/// The next seed of this thread, if there are any.
pub(crate) fn next_seed() -> Option<u64> {
    let seed = SEEDS.get()?;
    SEEDS.set(Some(seed.wrapping_add(1)));
    Some(seed)
}

/// How long blocking work takes on this thread, if it does it itself.
pub(crate) fn inline() -> Option<Duration> {
    INLINE.get()
}
