//! Errors in the usage of commands.

/// Wrong usage of a command; the message says what to change.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
