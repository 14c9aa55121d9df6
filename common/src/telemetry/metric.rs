//! One table says of each metric what it is called, what it counts and in what unit: constants, `# HELP` lines, the counters
//! that begin at 0, and `docs/metrics.md` come from it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What kind of values it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values fell into each range.
    Histogram,
}

/// A row of a table.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// What kind of values it has.
    pub kind: Kind,
    /// Their unit, which stands in the name where it is not a number of things.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence without a stop.
    pub help: &'static str,
}

/// Makes a constant of each name, and `ALL`, the table.
macro_rules! metrics_table {
    ($($constant:ident: $kind:ident in $unit:ident = $name:literal, [$($label:expr),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: &str = $name;
        )*

        /// All of them.
        pub const ALL: &[$crate::telemetry::Metric] = &[
            $($crate::telemetry::Metric {
                name: $name,
                kind: $crate::telemetry::Kind::$kind,
                unit: metrics::Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            }),*
        ];
    };
}

pub(super) use metrics_table;

impl Metric {
    /// Tells the recorder what it means, for its `# HELP` line.
    pub(super) fn describe(&self) {
        let Self { name, unit, help, .. } = *self;
        match self.kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }

    /// Begins it at 0, if it is a counter without labels: an alert on a rate needs the value before the first event.
    pub(super) fn begin(&self) {
        if self.kind == Kind::Counter && self.labels.is_empty() {
            metrics::counter!(self.name).absolute(0);
        }
    }
}
