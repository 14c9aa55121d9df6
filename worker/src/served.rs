//! A loaded model, which the pipeline runs and `models` keeps.

use std::sync::Arc;

use common::package::Package;
use engine::Engine;

use self::meters::Meters;

mod meters;

/// A model that can serve.
pub struct ServedModel {
    /// Its package.
    pub package: Package,
    /// Its engine.
    pub engine: Arc<dyn Engine>,
    /// Its metrics.
    pub(crate) meters: Meters,
}

impl ServedModel {
    /// Combines a package and the engine of its model.
    #[must_use]
    pub fn new(package: Package, engine: Arc<dyn Engine>) -> Self {
        let meters = Meters::of(&package);
        Self { package, engine, meters }
    }
}

impl std::fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServedModel({}@{})", self.package.name, self.package.version.short())
    }
}
