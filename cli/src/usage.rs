//! Commands that cannot run as they were called.

/// A command that cannot run as it was called; the message says what to change.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
