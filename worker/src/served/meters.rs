//! The metrics of one model.

use common::package::Package;
use common::telemetry::names;
use metrics::{Counter, Histogram, counter, histogram};

/// Its series, labelled with its name and version. They exist from its loading on.
pub(crate) struct Meters {
    /// Seconds of one call of the model.
    pub(crate) inference: Histogram,
    /// Images in one call of the model.
    pub(crate) batch_images: Histogram,
    /// Calls that failed.
    pub(crate) failures: Counter,
}

impl Meters {
    pub(super) fn of(package: &Package) -> Self {
        let labels = names::of_model(&package.name, &package.version);
        Self {
            inference: histogram!(names::INFERENCE_SECONDS, &labels),
            batch_images: histogram!(names::BATCH_IMAGES, &labels),
            failures: counter!(names::ENGINE_FAILURES_TOTAL, &labels),
        }
    }
}
