//! The packages in the models folder.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelsAnswer {
    /// 200.
    pub code: u16,
    /// By name.
    pub response: Vec<ModelListing>,
}

/// A package and its problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "animals_classifier_v0", "active": true, "version": "9f86d0…",
    "format": "hdf5", "input_shape": [224, 224, 3], "preprocessing": "normalize_and_pad",
    "postprocessing": "argmax", "classes": ["cat", "dog", "bird"], "creation_time": "2022-04-26 10:45:30",
    "comments": null, "problems": []}))]
pub struct ModelListing {
    /// Name of the package's folder.
    pub name: String,
    /// Whether it is the active model. Other bytes under the same name are not.
    pub active: bool,
    /// Digest of its bytes; null where it cannot be served.
    pub version: Option<String>,
    /// `hdf5`, `keras` or `savedmodel`.
    pub format: Option<String>,
    /// Height, width and channels.
    pub input_shape: Option<[usize; 3]>,
    /// How images are fitted to that shape.
    pub preprocessing: Option<String>,
    /// How labels are derived from the model's outputs.
    pub postprocessing: Option<String>,
    /// Labels, in the order of the model's outputs.
    pub classes: Option<Vec<String>>,
    /// Creation time, as its author wrote it.
    pub creation_time: Option<String>,
    /// Comments, as its author wrote them.
    pub comments: Option<String>,
    /// Its problems; empty if there are none.
    pub problems: Vec<String>,
}
