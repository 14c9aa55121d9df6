//! What is asked before the service calls itself ready, as answers show it.

use serde::Serialize;
use utoipa::ToSchema;

/// Each check: `ok`, or a sentence that tells what is not so.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChecksView {
    /// The broker takes parts.
    pub(crate) broker: String,
    /// The store writes.
    pub(crate) store: String,
    /// The model that is wanted is active. Nothing is wrong either where none is wanted yet.
    pub(crate) model: String,
    /// At least one worker takes jobs. Counts with `strict`, and where API and worker are one process.
    pub(crate) workers: String,
}
