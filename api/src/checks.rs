//! The readiness checks, as answers show them.

use serde::Serialize;
use utoipa::ToSchema;

/// Each check: `ok`, or a sentence with the problem.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChecksView {
    /// The broker takes parts.
    pub(crate) broker: String,
    /// The store writes.
    pub(crate) store: String,
    /// The wanted model is active. Also `ok` where no model is wanted yet.
    pub(crate) model: String,
    /// At least one worker takes jobs. Counts with `strict`, and where API and worker are one process.
    pub(crate) workers: String,
}
