//! A host's clock that a simulation sets.

use std::cell::RefCell;

use crate::messages::Timestamp;

type Clock = Box<dyn Fn() -> Timestamp>;

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Makes [`Timestamp::now`] tell this clock's time on this thread from now on.
pub fn tell(clock: impl Fn() -> Timestamp + 'static) {
    CLOCK.set(Some(Box::new(clock)));
}

/// What the clock of this thread tells, if there is one.
pub(crate) fn told() -> Option<Timestamp> {
    CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock()))
}
