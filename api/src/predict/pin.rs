//! Chooses the model of a request once, when the request is accepted.
//!
//! The model comes from the fleet's state as this process last read it. The store accepts the job only if that state is
//! still current. So requests need no extra call to the store, and none is accepted for a model that another process
//! has swapped out.

use std::sync::Arc;
use std::time::Duration;

use common::fleet::{FleetState, Phase};
use common::ids::{ModelName, ModelVersion, Revision};
use common::messages::PinnedModel;
use common::store::Revised;

use crate::app::App;
use crate::failure::{Code, Failure};
use crate::keys::Role;
use crate::wanted::{Wanted, wanted};

/// `Retry-After` while the model is loading.
const LOADING: Duration = Duration::from_secs(2);

/// A package that is requested by name.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its name.
    pub model: ModelName,
    /// The rights of the caller.
    pub role: Role,
}

/// A model, and the revision of the fleet's state from which it was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    /// The model.
    pub model: PinnedModel,
    /// The revision that the store must still have when it accepts the job.
    pub fleet: Revision,
}

/// Returns the model that was active at the last read, or the requested one. If neither is known from that state, the
/// state is read again.
pub(crate) async fn pin(app: &Arc<App>, asked: Option<&Asked>) -> Result<Pin, Failure> {
    if let Some(seen) = app.coordinator.last_seen().get()
        && let Ok(pin) = choose(app, asked, &seen).await
    {
        return Ok(pin);
    }
    pin_anew(app, asked).await
}

/// Returns the model that is active now, or the requested one.
pub(crate) async fn pin_anew(app: &Arc<App>, asked: Option<&Asked>) -> Result<Pin, Failure> {
    let seen = Arc::new(app.store.fleet().await?);
    app.coordinator.last_seen().set(Arc::clone(&seen));
    choose(app, asked, &seen).await
}

async fn choose(app: &Arc<App>, asked: Option<&Asked>, seen: &Revised<FleetState>) -> Result<Pin, Failure> {
    let Revised { revision, value: fleet } = seen;
    let model = match (asked, &fleet.active) {
        // The active model is the version that was rolled out, even if the disk has another one by now.
        (Some(asked), Some(active)) if asked.model == active.name => active.clone(),
        (Some(Asked { model: name, role }), _) => {
            let limits = Limits::of(app, *role, fleet, name);
            limits.check(name, None)?;
            let package = app.disk.open(name.clone()).await?;
            limits.check(name, Some(&package.version))?;
            PinnedModel { name: package.name, version: package.version, generation: fleet.generation }
        }
        (None, Some(active)) => active.clone(),
        (None, None) => return Err(no_model(app, fleet)),
    };
    Ok(Pin { model, fleet: *revision })
}

/// The versions of a package that a client may request.
enum Limits {
    /// The version on the disk.
    None,
    /// The versions that a swap made active.
    LetIn(Vec<ModelVersion>),
}

impl Limits {
    fn of(app: &App, role: Role, fleet: &FleetState, name: &ModelName) -> Self {
        match role {
            Role::Admin | Role::Peer => return Self::None,
            Role::Client if app.config.client_models.has(name) => return Self::None,
            Role::Client => {}
        }
        let rolled_out = fleet.rollout.iter().chain(&fleet.history);
        let committed = rolled_out.filter(|rollout| match rollout.phase {
            Phase::Converging | Phase::Done => true,
            Phase::Preparing | Phase::RolledBack { .. } | Phase::Unknown => false,
        });
        let models = committed.map(|rollout| &rollout.target).chain(&fleet.active).chain(&fleet.previous);
        Self::LetIn(models.filter(|model| model.name == *name).map(|model| model.version.clone()).collect())
    }

    /// Refuses a version that is not allowed, or a package without an allowed one.
    fn check(&self, name: &ModelName, version: Option<&ModelVersion>) -> Result<(), Failure> {
        let fact = match (self, version) {
            (Self::None, _) => return Ok(()),
            (Self::LetIn(versions), None) if !versions.is_empty() => return Ok(()),
            (Self::LetIn(versions), Some(version)) if versions.contains(version) => return Ok(()),
            (Self::LetIn(_), None) => "was never made active",
            (Self::LetIn(_), Some(_)) => "has been replaced since it was active",
        };
        let detail = format!(
            "model `{name}` {fact}, expected one that a swap made active, or that API_CLIENT_MODELS lists"
        );
        Err(Failure::new(Code::ModelNotAllowed, detail))
    }
}

fn no_model(app: &App, fleet: &FleetState) -> Failure {
    match wanted(app.declared.as_ref(), fleet, app.store.now()) {
        Wanted::Pending(why) => {
            Failure::new(Code::ModelLoading, format!("{why}, try again")).retry_after(LOADING)
        }
        Wanted::Nothing | Wanted::Active => Failure::new(
            Code::NoActiveModel,
            "no model is active, choose one with `PUT /classifier/prediction-service/{model_name}`",
        ),
    }
}
