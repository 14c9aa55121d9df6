//! Mends of the product that a run can take out again.

/// A mend whose fault the simulation has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// A revision of the fleet's state is never given twice. Without it the store counts revisions.
    UniqueRevisions,
    /// Who waits on a stream of parts learns that it has ended. Without it the wait never ends.
    EndsAreTold,
    /// Errors of the servers are told apart. Without it every refusal of a part is a full queue, and a store that has
    /// become a replica is asked again for ever.
    ErrorsAreTold,
    /// A worker gives a part back soon when the store is out of reach. Without it the part is kept until its deadline.
    ShortPatience,
    /// An order to swap has a last moment. Without it the store obeys late, too.
    LastMoments,
}

impl Mend {
    /// All of them.
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
    /// The mend that is taken out, if one is.
    pub without: Option<Mend>,
}

impl Options {
    /// Returns whether this mend is there.
    #[must_use]
    pub fn has(self, mend: Mend) -> bool {
        self.without != Some(mend)
    }
}
