//! Who depends on whom, as cargo sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Packages and what each links with, build scripts and tests left out.
struct Packages(BTreeMap<String, BTreeSet<String>>);

impl Packages {
    fn of_this_workspace() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::read(&serde_json::from_slice(&output.stdout).unwrap())
    }

    fn read(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let names: BTreeMap<String, String> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let from = edges.entry(names[&text(&node["id"])].clone()).or_default();
            for dependency in list(&node["deps"]) {
                // `kind` is null for what is linked, `dev` and `build` for the others.
                if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                    from.insert(names[&text(&dependency["pkg"])].clone());
                }
            }
        }
        Self(edges)
    }

    /// Everything that `package` links with, directly or not.
    fn below(&self, package: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            for dependency in &self.0[package] {
                if found.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        found
    }

    /// Which of `unwanted` the package links with.
    fn links(&self, package: &str, unwanted: &[&'static str]) -> Vec<&'static str> {
        let below = self.below(package);
        unwanted.iter().copied().filter(|name| below.contains(name)).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

const IMAGES_AND_MODELS: [&str; 5] = ["tensorflow", "hdf5-reader", "zip", "image", "fast_image_resize"];

#[test]
fn the_api_links_with_no_tensorflow_hdf5_or_image_decoding() {
    // A zip reader may come with the readable form of the API's description, which is packed.
    let unwanted = IMAGES_AND_MODELS.into_iter().filter(|name| *name != "zip").collect::<Vec<_>>();
    let found = Packages::of_this_workspace().links("classifier-api", &unwanted);
    assert!(found.is_empty(), "classifier-api links with {found:?}");
}

#[test]
fn the_worker_links_with_no_web_framework() {
    let found = Packages::of_this_workspace().links("classifier-worker", &["axum", "tower-http", "reqwest"]);
    assert!(found.is_empty(), "classifier-worker links with {found:?}");
}

#[test]
fn the_crates_know_each_other_in_one_direction_only() {
    let packages = Packages::of_this_workspace();
    let ours = ["classifier-common", "classifier-api", "classifier-worker", "classifier-cli"];
    for (package, expected) in [
        ("classifier-common", vec![]),
        ("classifier-api", vec!["classifier-common"]),
        ("classifier-worker", vec!["classifier-common"]),
        ("classifier-cli", vec!["classifier-common", "classifier-api", "classifier-worker"]),
    ] {
        assert_eq!(packages.links(package, &ours), expected, "{package}");
    }
}

#[test]
fn common_links_with_neither_models_nor_http() {
    let mut unwanted = IMAGES_AND_MODELS.to_vec();
    unwanted.push("axum");
    let found = Packages::of_this_workspace().links("classifier-common", &unwanted);
    assert!(found.is_empty(), "classifier-common links with {found:?}");
}

#[test]
fn what_is_linked_through_others_is_found_and_what_only_tests_use_is_not() {
    let metadata = serde_json::json!({
        "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}, {"id": "4", "name": "d"}],
        "resolve": {"nodes": [
            {"id": "1", "deps": [{"pkg": "2", "dep_kinds": [{"kind": null}]}, {"pkg": "4", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "2", "deps": [{"pkg": "3", "dep_kinds": [{"kind": "build"}, {"kind": null}]}]},
            {"id": "3", "deps": [{"pkg": "2", "dep_kinds": [{"kind": null}]}]},
            {"id": "4", "deps": []}]}});
    assert_eq!(Packages::read(&metadata).links("a", &["c", "d"]), ["c"]);
}
