//! Limits the bytes that are read from a file in all.

use std::cell::Cell;
use std::rc::Rc;

use super::Fault;

/// Bytes that a file's contents may exceed the file by, for small files that compress well.
const ROOM: u64 = 64 << 20;

/// The bytes that may still be read from a file. Clones share it.
#[derive(Clone)]
pub(crate) struct Allowance {
    whole: u64,
    left: Rc<Cell<u64>>,
}

impl Allowance {
    /// The allowance of a file of so many bytes.
    pub(crate) fn of_a_file(length: u64) -> Self {
        let whole = length.saturating_add(ROOM);
        Self { whole, left: Rc::new(Cell::new(whole)) }
    }

    /// The bytes that are left.
    pub(crate) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Takes bytes from the allowance, before they are read.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Fault> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            Fault::Damaged(format!(
                "its contents have more than {} bytes, expected at most the file's own and {ROOM}",
                self.whole
            ))
        })?;
        self.left.set(left);
        Ok(())
    }
}
