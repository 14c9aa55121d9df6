//! The packages in the models folder.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use common::package::{Listed, ModelFormat, Package, PackageError};

use crate::app::App;
use crate::extract::{NoQuery, QueryOf};
use crate::failure::Failure;
use crate::wire::models::{ModelListing, ModelsAnswer};

/// Lists all packages in the models folder, and folders that are not valid packages.
#[utoipa::path(get, path = "/classifier/models", operation_id = "list_models", tag = "fleet",
    responses(
        (status = 200, description = "By name", body = ModelsAnswer),
    ))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: QueryOf<NoQuery>,
) -> Result<Json<ModelsAnswer>, Failure> {
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
    let format = match package.model.format {
        ModelFormat::Hdf5 => "hdf5",
        ModelFormat::KerasArchive => "keras",
        ModelFormat::SavedModel => "savedmodel",
    };
    ModelListing {
        name: package.name.to_string(),
        active,
        version: Some(package.version.to_string()),
        format: Some(format.to_owned()),
        input_shape: Some(config.preprocessing.input_shape),
        preprocessing: Some(config.preprocessing.kind.name().to_owned()),
        postprocessing: Some(config.postprocessing.rule.name().to_owned()),
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
