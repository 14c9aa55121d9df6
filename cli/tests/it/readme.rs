//! Lists in the documentation match the code.

use std::fs;
use std::path::Path;

use clap::{Args as _, Command};
use common::package::Recipe;
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

#[test]
fn every_recipe_with_a_name_and_every_flag_of_a_model_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let recipes = fs::read_to_string(root.join("docs/preprocessing.md")).unwrap();
    for recipe in Recipe::all() {
        let row = format!("| `{}` | {} |", recipe.name, recipe.training);
        assert!(recipes.lines().any(|line| line == row), "docs/preprocessing.md has no row {row}");
    }
    let packages = fs::read_to_string(root.join("docs/packages.md")).unwrap();
    let flags = cli::unpackaged::Choices::augment_args(Command::new("choices"));
    for flag in flags.get_arguments().filter_map(|argument| argument.get_long()) {
        assert!(packages.contains(&format!("| `--{flag}` |")), "docs/packages.md has no row for --{flag}");
    }
}
