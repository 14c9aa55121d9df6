//! Predictions: what a client asks for, the answer, and the progress.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A batch of images.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"images": [{"image_id": 0, "img_base64":
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAI0lEQVR42i3GsQEAAAwBMJf4/0tVZAokBrSBG7g53SdLfo13xo0a1zwGlrgAAAAASUVORK5CYII="}]}))]
pub struct PredictionRequest {
    /// The images; at least one.
    #[schema(min_items = 1)]
    pub images: Vec<PredictionImage>,
}

/// One image of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PredictionImage {
    /// Any number; the result has the same. Repeated ids are allowed.
    pub image_id: i64,
    /// An image file (JPEG, PNG, WebP, GIF, BMP or TIFF) in standard base64. Whitespace and a
    /// `data:image/…;base64,` prefix are accepted.
    #[schema(content_encoding = "base64", content_media_type = "image/*")]
    pub img_base64: String,
}

/// Predictions for every image of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"code": 200, "response": {"model": "animals_classifier_v0",
    "results": [{"image_id": 0, "max_score": 0.98, "label": "dog"}]}}))]
pub struct PredictionAnswer {
    /// 200.
    pub code: u16,
    /// The predictions.
    pub response: Predictions,
}

/// Predictions of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Predictions {
    /// Name of the package that answered.
    pub model: String,
    /// One entry for each image, in the order of the request.
    pub results: Vec<ImageResult>,
}

/// The prediction for one image, or its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImageResult {
    /// The id that came with the image.
    pub image_id: i64,
    /// The name of its file, if the part of the form has one.
    #[serde(rename = "filename", skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The largest score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_score: Option<f32>,
    /// The label with that score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The labels whose scores reach their thresholds, best first, possibly none; only from packages of type
    /// `multi_label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<Score>>,
    /// The best labels, best first; only with `top_k`, or from packages of type `top_k`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<Score>>,
    /// Why this image could not be classified; then there is neither score nor label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ImageProblem>,
}

impl ImageResult {
    /// The entry of an image that could not be classified.
    #[must_use]
    pub fn failed(image_id: i64, error: ImageProblem) -> Self {
        let (file_name, max_score, label, labels, scores) = (None, None, None, None, None);
        Self { image_id, file_name, max_score, label, labels, scores, error: Some(error) }
    }
}

/// A label and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// An output class of the package.
    pub label: String,
    /// The model's output for the class.
    pub score: f32,
}

/// Why one image could not be classified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImageProblem {
    /// For programs; never changes its meaning.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// A prediction that is not finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"code": 202, "response": {"prediction_id": "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d",
    "status": "queued", "status_url": "/classifier/predictions/5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d"}}))]
pub struct PendingAnswer {
    /// 202.
    pub code: u16,
    /// Its progress.
    pub response: Pending,
}

/// The progress of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pending {
    /// The prediction's id.
    pub prediction_id: String,
    /// `queued` or `processing`.
    pub status: String,
    /// Address for polling.
    pub status_url: String,
}
