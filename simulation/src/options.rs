//! Fixes of the product that a run can remove.

/// A fix; without it the simulation must find the bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// Revisions of the fleet's state are unique. Without it the store counts revisions.
    UniqueRevisions,
    /// A consumer learns that its stream has ended. Without it the wait never ends.
    EndsAreTold,
    /// Errors of the servers are distinguished. Without it every refusal of a part is a full queue, and a store that
    /// has become a replica is retried forever.
    ErrorsAreTold,
    /// A worker soon returns a part when the store is out of reach. Without it the part is held until its deadline.
    ShortPatience,
    /// An order to swap expires. Without it the store also obeys late.
    LastMoments,
}

impl Fix {
    /// All fixes.
    pub const ALL: [Self; 5] = [
        Self::UniqueRevisions,
        Self::EndsAreTold,
        Self::ErrorsAreTold,
        Self::ShortPatience,
        Self::LastMoments,
    ];
}

/// How a world differs from the real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The fix that is removed, if any.
    pub without: Option<Fix>,
}

impl Options {
    /// Returns whether this fix is present.
    #[must_use]
    pub fn has(self, fix: Fix) -> bool {
        self.without != Some(fix)
    }
}
