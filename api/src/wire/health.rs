//! Health checks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The process is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"status": "alive"}))]
pub struct LiveAnswer {
    /// `alive`.
    pub status: String,
}

/// A prediction would be accepted and answered now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"status": "ready", "checks": {"broker": "ok", "store": "ok", "model": "ok", "workers": "ok"}}))]
pub struct ReadyAnswer {
    /// `ready`.
    pub status: String,
    /// Each check.
    pub checks: ChecksView,
}

/// Each check: `ok`, or a sentence with the problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChecksView {
    /// The broker takes parts.
    pub broker: String,
    /// The store writes.
    pub store: String,
    /// The wanted model is active. Also `ok` where no model is wanted yet.
    pub model: String,
    /// At least one worker takes jobs. Counts with `strict`, and where API and worker are one process.
    pub workers: String,
}
