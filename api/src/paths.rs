//! Paths in answers.

use common::ids::Generation;

/// Returns the path of a rollout.
pub(crate) fn rollout_path(generation: Generation) -> String {
    format!("/classifier/prediction-service/rollouts/{generation}")
}
