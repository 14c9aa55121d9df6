//! `docs/metrics.md` says what the tables of metrics say.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::telemetry::{Kind, Metric, api_names, names, shared_names};

const HEAD: &str = "# Metrics

API processes show them at `/metrics`, workers at `WORKER_LISTEN`, `classifier serve` both in one. The format is Prometheus's text.
Times are in seconds, sizes in bytes. Counters without labels are there at 0 from the start. `model` is a package's name and `version`
all 64 digits of its version, as in the header `X-Model-Version`.

Every process also shows itself, as Prometheus's own client libraries name it: `process_cpu_seconds_total`,
`process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_start_time_seconds` and others.

This page is made from the code: `UPDATE_DOCS=1 cargo test --workspace --test it -- metrics::` writes it anew.
";

#[test]
fn every_metric_stands_in_the_documentation_as_the_code_has_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/metrics.md");
    let mut expected = HEAD.to_owned();
    for (title, metrics) in
        [("All programs", shared_names::ALL), ("API", api_names::ALL), ("Worker", names::ALL)]
    {
        writeln!(expected, "\n## {title}\n\n| metric | kind | labels | what it says |").unwrap();
        expected.push_str("| --- | --- | --- | --- |\n");
        expected.extend(metrics.iter().map(row));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &expected).unwrap();
    }
    let found = fs::read_to_string(&page).unwrap();
    assert!(found == expected, "{} is not what the code says: see its head", page.display());
}

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help)
}
