//! Dead letters.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLettersAnswer {
    /// 200.
    pub code: u16,
    /// Oldest first.
    pub response: Vec<DeadLetterView>,
}

/// A dead letter: a part of a prediction that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d/0", "prediction_id":
    "5f0c1b9e-7d0c-4a53-9f8e-0d6a3f1c2b4d", "positions": [3], "image_bytes": 48211,
    "model": "animals_classifier_v0@9f86d0…", "reason": "a worker died of it 3 times", "client": "mobile"}))]
pub struct DeadLetterView {
    /// Its id: the prediction and the number of the part.
    pub id: String,
    /// The prediction it belongs to.
    pub prediction_id: String,
    /// Positions of its images in the request, from 0.
    pub positions: Vec<u32>,
    /// Bytes of its images.
    pub image_bytes: u64,
    /// The model it was for.
    pub model: String,
    /// Why it was given up.
    pub reason: String,
    /// The client whose prediction it is; null for a client without a name.
    pub client: Option<String>,
}

/// The result for dead letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterCountAnswer {
    /// 200.
    pub code: u16,
    /// The counts.
    pub response: DeadLetterCount,
}

/// What was done with how many dead letters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterCount {
    /// Queued again.
    pub replayed: usize,
    /// Dropped.
    pub dropped: usize,
    /// Kept, because their prediction is forgotten and its answer could not be fetched.
    pub forgotten: usize,
    /// Kept, because they are unreadable; they can be dropped.
    // Release 0.1.0 does not count them.
    #[serde(default)]
    #[schema(required)]
    pub unreadable: usize,
}
