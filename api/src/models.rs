//! The packages in the models folder.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::package::{Listed, ModelFormat, Package, PackageError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{NoQuery, QueryOf};
use crate::openapi::Problem;

/// All packages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelsAnswer {
    /// 200.
    code: u16,
    /// By name.
    response: Vec<ModelListing>,
}

/// A package and its problems.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "animals_classifier_v0", "active": true, "version": "9f86d0…",
    "format": "hdf5", "input_shape": [224, 224, 3], "preprocessing": "normalize_and_pad",
    "postprocessing": "argmax", "classes": ["cat", "dog", "bird"], "creation_time": "2022-04-26 10:45:30",
    "comments": null, "problems": []}))]
struct ModelListing {
    /// Name of the package's folder.
    name: String,
    /// Whether it is the active model. Other bytes under the same name are not.
    active: bool,
    /// Digest of its bytes; null where it cannot be served.
    version: Option<String>,
    /// `hdf5`, `keras` or `savedmodel`.
    format: Option<&'static str>,
    /// Height, width and channels.
    input_shape: Option<[usize; 3]>,
    /// How images are fitted to that shape.
    preprocessing: Option<&'static str>,
    /// How labels are derived from the model's outputs.
    postprocessing: Option<&'static str>,
    /// Labels, in the order of the model's outputs.
    classes: Option<Vec<String>>,
    /// Creation time, as its author wrote it.
    creation_time: Option<String>,
    /// Comments, as its author wrote them.
    comments: Option<String>,
    /// Its problems; empty if there are none.
    problems: Vec<String>,
}

/// Lists all packages in the models folder, and folders that are not valid packages.
#[utoipa::path(get, path = "/classifier/models", operation_id = "list_models", tag = "fleet",
    responses(
        (status = 200, description = "By name", body = ModelsAnswer),
        (status = 401, description = "No key, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The models folder cannot be read, or the store is out of reach", body = Problem, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: QueryOf<NoQuery>,
) -> Result<Json<ModelsAnswer>, ApiError> {
    let listed = app.disk.list().await?;
    let active = app.store.fleet().await?.value.active;
    let is_active = |package: &Package| {
        active.as_ref().is_some_and(|active| active.name == package.name && active.version == package.version)
    };
    let response = listed
        .into_iter()
        .map(|Listed { name, opened }| match opened {
            Ok(package) => sound(is_active(&package), package),
            Err(error) => faulty(name, error),
        })
        .collect();
    Ok(Json(ModelsAnswer { code: 200, response }))
}

fn sound(active: bool, package: Package) -> ModelListing {
    let config = package.config;
    ModelListing {
        name: package.name.to_string(),
        active,
        version: Some(package.version.to_string()),
        format: Some(match package.model.format {
            ModelFormat::Hdf5 => "hdf5",
            ModelFormat::KerasArchive => "keras",
            ModelFormat::SavedModel => "savedmodel",
        }),
        input_shape: Some(config.preprocessing.input_shape),
        preprocessing: Some(config.preprocessing.kind.name()),
        postprocessing: Some(config.postprocessing.rule.name()),
        classes: Some(config.postprocessing.classes().to_vec()),
        creation_time: config.creation_time,
        comments: config.comments,
        problems: Vec::new(),
    }
}

fn faulty(name: String, error: PackageError) -> ModelListing {
    let problems = match error {
        PackageError::Invalid { problems, .. } => problems,
        PackageError::Missing(problem) | PackageError::Unreadable { reason: problem, .. } => vec![problem],
    };
    ModelListing {
        name,
        active: false,
        version: None,
        format: None,
        input_shape: None,
        preprocessing: None,
        postprocessing: None,
        classes: None,
        creation_time: None,
        comments: None,
        problems,
    }
}
