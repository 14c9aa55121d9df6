//! Logs, traces and the names of all metrics.
