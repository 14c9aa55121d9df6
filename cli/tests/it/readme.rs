//! Lists in the documentation match the code.

use std::fs;
use std::path::Path;

use common::telemetry::{api_names, names, shared_names};

#[test]
fn every_metric_of_the_dashboard_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let metrics = [shared_names::ALL, api_names::ALL, names::ALL].concat();
    let dashboard = fs::read_to_string(root.join("deploy/grafana-dashboard.json")).unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = 0;
    for rest in dashboard.split("classifier_").skip(1) {
        let end = rest.find(|c| !is_name(c)).unwrap();
        let name = format!("classifier_{}", rest[..end].trim_end_matches("_bucket"));
        assert!(metrics.iter().any(|metric| metric.name == name), "{name} is no metric");
        found += 1;
    }
    assert!(found > 15, "only {found} metrics were found");
}
