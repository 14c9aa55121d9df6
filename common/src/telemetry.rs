//! Logs and metrics: where they go, and what they are called.
//!
//! Logs go to standard error, as text or as JSON lines. Metrics are recorded with the `metrics` facade
//! under the names in [`names`], and rendered as Prometheus text by whoever has an address to show them.

pub mod api_names;
pub mod names;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Upper bounds of the duration histograms, in seconds: from a small image's decoding to a request's
/// longest wait, three steps to a decade.
const SECONDS: [f64; 19] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0,
];

/// Upper bounds of the histograms that count images.
const IMAGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How often what the histograms took is added up. Until then each value is kept.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

/// Renders all metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Why logs or metrics were not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("log filter `{filter}` is not valid: {reason}, expected e.g. `info` or `info,worker=debug`")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process writes the logs already.
    #[error("logs are set up already: {0}")]
    Logs(String),
    /// Something else in this process records metrics already.
    #[error("metrics are set up already: {0}")]
    Metrics(#[from] BuildError),
    /// The system gives no thread to look after them.
    #[error("no thread for the metrics: {0}")]
    Thread(#[from] std::io::Error),
}

/// Sends this process's logs to standard error. Once a process.
///
/// # Errors
/// The filter is not valid, or logs were set up before.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.log_filter).map_err(|error| TelemetryError::Filter {
        filter: config.log_filter.clone(),
        reason: error.to_string(),
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for people: in a file or a collector they are noise.
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(|error| TelemetryError::Logs(error.to_string()))
}

/// Starts recording metrics in this process; the closure renders them. Once a process.
///
/// # Errors
/// A recorder was installed before, or there is no thread to be had.
pub fn install_metrics() -> Result<RenderMetrics, TelemetryError> {
    let handle = recorder()?.install_recorder()?;
    names::describe_all();
    api_names::describe_all();
    // Where nobody ever asks for the metrics, memory would grow with every request.
    let upkeep = handle.clone();
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(ADD_UP_EVERY);
            upkeep.run_upkeep();
        }
    })?;
    Ok(Arc::new(move || handle.render()))
}

fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_images".to_owned()), &IMAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_batches_are_rendered_as_histograms_with_help() {
        let recorder = recorder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            names::describe_all();
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
    fn every_metric_follows_the_naming_rules() {
        let source = include_str!("telemetry/names.rs");
        let names: Vec<&str> = source.lines().filter_map(|line| line.split("\"classifier_").nth(1)).collect();
        assert!(names.len() > 10, "found {names:?}");
        for name in names {
            let name = name.trim_end_matches("\";");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert!(!name.contains("milli") && !name.contains("_ms"), "{name} is not in base units");
        }
    }
}
