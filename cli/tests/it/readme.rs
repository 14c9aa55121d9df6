//! The README tells what the programs can be told.

use std::fs;
use std::path::Path;

#[test]
fn every_variable_that_sets_something_stands_in_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut found = 0;
    for config in ["common/src/config.rs", "api/src/config.rs", "worker/src/config.rs"] {
        let source = fs::read_to_string(root.join(config)).unwrap();
        for variable in source.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(
                readme.contains(&format!("| `{variable}` |")),
                "{config}: {variable} is not in README.md"
            );
            found += 1;
        }
    }
    assert!(found > 30, "only {found} variables were found");
}

#[test]
fn every_metric_of_the_dashboard_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names: String = ["names", "api_names"]
        .map(|file| fs::read_to_string(root.join(format!("common/src/telemetry/{file}.rs"))).unwrap())
        .concat();
    let dashboard = fs::read_to_string(root.join("deploy/grafana-dashboard.json")).unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = 0;
    for rest in dashboard.split("classifier_").skip(1) {
        let end = rest.find(|c| !is_name(c)).unwrap();
        let name = format!("classifier_{}", rest[..end].trim_end_matches("_bucket"));
        assert!(names.contains(&format!("\"{name}\"")), "{name} is no metric");
        found += 1;
    }
    assert!(found > 15, "only {found} metrics were found");
}
