//! Which model answers a request: decided once, when the request is accepted.
//!
//! It is chosen from the fleet's state as this process saw it last, and the store accepts the job only if
//! that is still the state. So no request asks for it first, and none is accepted for a model that another
//! process has swapped out.

use std::sync::{Arc, Mutex, PoisonError};

use common::fleet::FleetState;
use common::ids::ModelName;
use common::messages::PinnedModel;
use common::package::{Package, PackageError};
use common::store::Revised;

use crate::app::App;
use crate::error::{ApiError, Code};

/// The fleet's state as this process saw it last, if it did.
#[derive(Default)]
pub(crate) struct LastSeen(Mutex<Option<Arc<Revised<FleetState>>>>);

/// A model, and the revision of the fleet's state from which it was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    /// The model.
    pub model: PinnedModel,
    /// What the store must still hold when it accepts the job.
    pub fleet: u64,
}

/// The model that was active when this process last looked, or the one that was asked for by name. What
/// cannot be chosen from what was seen then is chosen anew.
pub(crate) async fn pin(app: &Arc<App>, asked: Option<&ModelName>) -> Result<Pin, ApiError> {
    if let Some(seen) = app.last_seen.get()
        && let Ok(pin) = choose(app, asked, &seen).await
    {
        return Ok(pin);
    }
    pin_anew(app, asked).await
}

/// The model that is active now, or the one that was asked for by name.
pub(crate) async fn pin_anew(app: &Arc<App>, asked: Option<&ModelName>) -> Result<Pin, ApiError> {
    let seen = Arc::new(app.store.fleet().await?);
    app.last_seen.set(Arc::clone(&seen));
    choose(app, asked, &seen).await
}

async fn choose(
    app: &Arc<App>,
    asked: Option<&ModelName>,
    seen: &Revised<FleetState>,
) -> Result<Pin, ApiError> {
    let Revised { revision, value: fleet } = seen;
    let model = match (asked, &fleet.active) {
        // The active model is the version that was rolled out, whatever lies on the disk by now.
        (Some(name), Some(active)) if *name == active.name => active.clone(),
        (Some(name), _) => {
            let package = open(app, name.clone()).await??;
            PinnedModel { name: package.name, version: package.version, generation: fleet.generation }
        }
        (None, Some(active)) => active.clone(),
        (None, None) => {
            return Err(ApiError::new(
                Code::NoActiveModel,
                "no model is active, choose one with `PUT /classifier/prediction-service/{model_name}`",
            ));
        }
    };
    Ok(Pin { model, fleet: *revision })
}

impl LastSeen {
    fn get(&self) -> Option<Arc<Revised<FleetState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, seen: Arc<Revised<FleetState>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

/// Opens a package where the disk may block.
pub(crate) async fn open(app: &Arc<App>, name: ModelName) -> Result<Result<Package, PackageError>, ApiError> {
    let catalog = app.catalog.clone();
    tokio::task::spawn_blocking(move || catalog.open(&name)).await.map_err(ApiError::internal)
}
