//! Paths in answers.

use common::ids::{Generation, JobId};

/// Returns the path of a prediction.
pub(crate) fn prediction_path(job: JobId) -> String {
    format!("/classifier/predictions/{job}")
}

/// Returns the path of a rollout.
pub(crate) fn rollout_path(generation: Generation) -> String {
    format!("/classifier/prediction-service/rollouts/{generation}")
}
