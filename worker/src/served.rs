//! A model that is loaded, which the pipeline runs and `models` keeps.

use std::sync::Arc;

use common::package::Package;
use engine::Engine;

use self::meters::Meters;

mod meters;

/// A model that can answer.
pub struct ServedModel {
    /// What it was made from.
    pub package: Package,
    /// What computes.
    pub engine: Arc<dyn Engine>,
    /// What is counted of it.
    pub(crate) meters: Meters,
}

impl ServedModel {
    /// A package and what its model was made of.
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
