//! Logs, traces and the names of all metrics.

pub mod api_names;
