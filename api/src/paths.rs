//! Paths that answers point to.

use common::ids::Generation;

/// Where a rollout can be asked for.
pub(crate) fn rollout_path(generation: Generation) -> String {
    format!("/classifier/prediction-service/rollouts/{generation}")
}
