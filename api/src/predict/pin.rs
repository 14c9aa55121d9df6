//! Which model answers a request: decided once, when the request is accepted.

use std::sync::Arc;

use common::ids::ModelName;
use common::messages::PinnedModel;
use common::package::{Package, PackageError};

use crate::app::App;
use crate::error::{ApiError, Code};

/// The model that is active now, or the one that was asked for by name.
pub(crate) async fn pin(app: &Arc<App>, asked: Option<ModelName>) -> Result<PinnedModel, ApiError> {
    // Looked up for every request: a process that remembered it would answer from the old model after a
    // swap that another process ran.
    let fleet = app.store.fleet().await?.value;
    match (asked, fleet.active) {
        // The active model is the version that was rolled out, whatever lies on the disk by now.
        (Some(name), Some(active)) if name == active.name => Ok(active),
        (Some(name), _) => {
            let package = open(app, name).await??;
            Ok(PinnedModel { name: package.name, version: package.version, generation: fleet.generation })
        }
        (None, Some(active)) => Ok(active),
        (None, None) => Err(ApiError::new(
            Code::NoActiveModel,
            "no model is active, choose one with `PUT /classifier/prediction-service/{model_name}`",
        )),
    }
}

/// Opens a package where the disk may block.
pub(crate) async fn open(app: &Arc<App>, name: ModelName) -> Result<Result<Package, PackageError>, ApiError> {
    let catalog = app.catalog.clone();
    tokio::task::spawn_blocking(move || catalog.open(&name)).await.map_err(ApiError::internal)
}
