//! How runs use the cores.

/// How a run uses the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// It stays on the calling thread.
    OneCore,
    /// Each operation is split among all cores.
    AllCores,
}
