//! Sets up logs and metrics.
//!
//! Logs go to standard error, as text or as JSON lines. Metrics are recorded with the `metrics` facade under the names
//! in [`names`], and served as Prometheus text by the programs.

pub mod api_names;
mod config;
mod metric;
pub mod names;
pub mod shared_names;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

pub use self::config::{LogConfig, LogFormat};
pub use self::metric::{Kind, Metric};

/// Upper bounds of the duration histograms, in seconds: from the decoding of a small image to the longest wait of a
/// request, three per decade.
const SECONDS: [f64; 19] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0,
];

/// Upper bounds of the histograms that count images.
const IMAGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How often the values of histograms are aggregated. Until then each value is kept.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

/// Renders all metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The roles of a process, for its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers requests.
    Api,
    /// It classifies images.
    Worker,
}

impl Role {
    /// Its own metrics; all programs have [`shared_names::ALL`] as well.
    #[must_use]
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Api => api_names::ALL,
            Self::Worker => names::ALL,
        }
    }
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error("log filter `{filter}` is not valid: {reason}, expected e.g. `info` or `info,worker=debug`")]
    Filter {
        /// The setting.
        filter: String,
        /// The error.
        reason: String,
    },
    /// Another component of this process writes the logs already.
    #[error("logs are set up already: {0}")]
    Logs(String),
    /// Another component of this process records metrics already.
    #[error("metrics are set up already: {0}")]
    Metrics(#[from] BuildError),
    /// The system gives no thread for the upkeep.
    #[error("no thread for the metrics: {0}")]
    Thread(#[from] std::io::Error),
}

/// Sends this process's logs to standard error. Once per process.
///
/// # Errors
/// The filter is invalid, or logs were set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = filter(&config.log_filter)
        .map_err(|reason| TelemetryError::Filter { filter: config.log_filter.clone(), reason })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours only for a terminal, not for files or collectors.
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(|error| TelemetryError::Logs(error.to_string()))
}

/// Checks a log filter.
///
/// # Errors
/// Why it is invalid.
pub fn check_filter(levels: &str) -> Result<(), String> {
    filter(levels).map(|_| ())
}

/// Parses the log filter. RabbitMQ's client logs each failure with several lines of its own. It is silent unless the
/// filter names it, since this program logs the same once.
fn filter(levels: &str) -> Result<EnvFilter, String> {
    let filter = EnvFilter::try_new(levels).map_err(|error| error.to_string())?;
    if levels.contains("lapin") {
        return Ok(filter);
    }
    let silent = "lapin=off".parse().map_err(|error| format!("{error}"))?;
    Ok(filter.add_directive(silent))
}

/// Starts recording metrics in this process; the closure renders them. Once per process. The counters of `roles` start
/// at 0.
///
/// # Errors
/// A recorder was installed before, or no thread is available.
pub fn install_metrics(roles: &[Role]) -> Result<RenderMetrics, TelemetryError> {
    let handle = recorder()?.install_recorder()?;
    let process = metrics_process::Collector::default();
    process.describe();
    describe(roles);
    // If metrics are never scraped, memory would grow with every request.
    let upkeep = handle.clone();
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(ADD_UP_EVERY);
            upkeep.run_upkeep();
        }
    })?;
    Ok(Arc::new(move || {
        process.collect();
        handle.render()
    }))
}

/// Describes the metrics to the recorder, and starts the counters of these roles.
fn describe(roles: &[Role]) {
    for metric in [shared_names::ALL, api_names::ALL, names::ALL].into_iter().flatten() {
        metric.describe();
    }
    shared_names::ALL.iter().for_each(Metric::begin);
    for role in roles {
        role.metrics().iter().for_each(Metric::begin);
        match role {
            Role::Api => api_names::begin_closed(),
            Role::Worker => {}
        }
    }
    metrics::gauge!(shared_names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_images".to_owned()), &IMAGES)
}

#[cfg(test)]
mod tests {
    use metrics::Unit;

    use super::*;

    #[test]
    fn durations_and_batches_are_rendered_as_histograms_with_help() {
        let recorder = recorder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            names::ALL.iter().for_each(Metric::describe);
            metrics::histogram!(names::INFERENCE_SECONDS).record(0.003);
            metrics::histogram!(names::BATCH_IMAGES).record(7.0);
            metrics::counter!(names::IMAGES_TOTAL, names::OUTCOME => "classified").increment(7);
            metrics::gauge!(names::BATCH_QUEUE_IMAGES).set(2.0);
        });
        let text = handle.render();
        for line in [
            "# HELP classifier_inference_seconds One call of the model",
            "# TYPE classifier_inference_seconds histogram",
            "classifier_inference_seconds_bucket{le=\"0.0025\"} 0",
            "classifier_inference_seconds_bucket{le=\"0.005\"} 1",
            "classifier_batch_images_bucket{le=\"4\"} 0",
            "classifier_batch_images_bucket{le=\"8\"} 1",
            "classifier_images_total{outcome=\"classified\"} 7",
            "classifier_batch_queue_images 2",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }

    #[test]
    fn counters_of_a_role_are_there_from_the_start_and_those_of_others_are_not() {
        let render = |roles: &[Role]| {
            let recorder = recorder().unwrap().build_recorder();
            let handle = recorder.handle();
            metrics::with_local_recorder(&recorder, || describe(roles));
            handle.render()
        };
        let (worker, api) = (render(&[Role::Worker]), render(&[Role::Api]));
        for (text, own, others) in [
            (&worker, "classifier_redeliveries_total 0", "classifier_api_images_rejected_total"),
            (&api, "classifier_api_images_rejected_total 0", "classifier_redeliveries_total"),
        ] {
            assert!(text.contains(own) && !text.contains(others), "{text}");
            assert!(text.contains("classifier_unreadable_reports_total 0"), "{text}");
            assert!(text.contains("classifier_build_info{version=\""), "{text}");
        }
        assert!(api.contains("classifier_api_requests_shed_total{reason=\"queue\"} 0"), "{api}");
    }

    #[test]
    fn the_client_of_rabbitmq_is_silent_unless_it_is_named() {
        assert!(filter("info,common=debug").unwrap().to_string().contains("lapin=off"));
        assert!(!filter("info,lapin=debug").unwrap().to_string().contains("lapin=off"));
        assert!(filter("info,=").is_err());
    }

    /// Prometheus's rules: base units in the name, `_total` for counters and for nothing else.
    #[test]
    fn every_metric_follows_the_naming_rules() {
        let all: Vec<&Metric> =
            [shared_names::ALL, api_names::ALL, names::ALL].into_iter().flatten().collect();
        for Metric { name, kind, unit, labels, help } in &all {
            assert!(name.starts_with("classifier_"), "{name}");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let ending = if *unit == Unit::Seconds { "_seconds" } else { "" };
            assert!(name.ends_with(ending) && ending.is_empty() != name.contains("seconds"), "{name}");
            assert_eq!(*unit == Unit::Bytes, name.contains("bytes"), "{name}");
            assert!([Unit::Seconds, Unit::Bytes, Unit::Count].contains(unit), "{name} is not in base units");
            assert!(!help.ends_with('.') && help.len() > 5 && labels.len() <= 3, "{name}");
        }
        let mut names: Vec<&str> = all.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len(), "two metrics have one name");
    }
}
