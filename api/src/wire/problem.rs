//! Errors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::health::ChecksView;
use super::predictions::ImageResult;

/// An error (RFC 9457).
//
// A client reads it with the sentence alone: a proxy may have written it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"type": "/redoc#error-no_active_model", "title": "No model is active", "status": 422,
    "code": "no_active_model", "detail": "no model is active, choose one with `PUT /classifier/prediction-service/{model_name}`"}))]
pub struct Problem {
    /// Where the error is documented.
    #[serde(rename = "type", default)]
    #[schema(required)]
    pub kind: String,
    /// The error in a few words; the same for every occurrence.
    #[serde(default)]
    #[schema(required)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    #[schema(required)]
    pub status: u16,
    /// The error for programs; never changes its meaning.
    #[serde(default)]
    #[schema(required)]
    pub code: String,
    /// A sentence that names the object, the fact and the expectation.
    pub detail: String,
    /// All problems of an invalid package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<String>>,
    /// The results of a request in which no image could be classified.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>)]
    pub results: Option<Vec<ImageResult>>,
    /// The rollout that was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The failed readiness checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<ChecksView>,
    /// The prediction that goes on although this request failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction_id: Option<String>,
}
