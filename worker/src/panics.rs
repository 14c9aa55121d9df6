//! Panics that are caught where other people's bytes are handled, so that they cost one image only.

use std::any::Any;

/// What a panic said.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
