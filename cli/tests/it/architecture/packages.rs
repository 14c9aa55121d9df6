//! The dependencies between crates, as Cargo sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

/// Packages and their dependencies, without build scripts and tests.
struct Packages {
    links: BTreeMap<String, BTreeSet<String>>,
    /// The workspace's own packages, by folder.
    ours: BTreeMap<String, String>,
}

impl Packages {
    fn of_this_workspace() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .arg("--manifest-path")
            .arg(root().join("Cargo.toml"))
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
                // `kind` is null for normal dependencies, `dev` and `build` for the others.
                if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                    from.insert(names[&text(&dependency["pkg"])].clone());
                }
            }
        }
        let ours = list(&metadata["packages"]).into_iter().filter_map(|package| {
            let manifest = text(&package["manifest_path"]);
            let folder = manifest.strip_prefix(root().to_str()?)?.strip_suffix("/Cargo.toml")?;
            Some((folder.trim_start_matches('/').to_owned(), text(&package["name"])))
        });
        Self { links: edges, ours: ours.collect() }
    }

    /// Returns all direct and indirect dependencies of `package`.
    fn below(&self, package: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            for dependency in &self.links[package] {
                if found.insert(dependency.as_str()) {
                    open.push(dependency);
                }
            }
        }
        found
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// External crates and the only folders that may depend on them.
const HOMES: [(&str, &[&str]); 14] = [
    ("lapin", &["common"]),
    ("redis", &["common"]),
    ("tracing-subscriber", &["common"]),
    ("metrics-exporter-prometheus", &["common"]),
    ("image", &["engine/images"]),
    ("jpeg-decoder", &["engine/images"]),
    ("tiff", &["engine/images"]),
    ("zune-jpeg", &["engine/images"]),
    ("hdf5-reader", &["engine/keras"]),
    ("zip", &["engine/keras"]),
    ("tensorflow", &["engine/tensorflow"]),
    ("axum", &["api", "simulation"]),
    ("utoipa", &["api"]),
    ("reqwest", &["cli"]),
];

#[test]
fn outside_libraries_are_named_by_the_crates_that_they_are_at_home_in() {
    let packages = Packages::of_this_workspace();
    for (library, homes) in HOMES {
        let users = packages.ours.iter().filter(|(_, package)| packages.links[*package].contains(library));
        let users: Vec<&str> = users.map(|(folder, _)| folder.as_str()).collect();
        assert_eq!(users, homes, "{library}");
    }
}

#[test]
fn the_api_links_with_no_models_or_images_and_keras_with_no_tensorflow() {
    let packages = Packages::of_this_workspace();
    for (package, unwanted) in [
        ("classifier-api", vec!["tensorflow", "hdf5-reader", "image"]),
        ("classifier-common", vec!["tensorflow", "hdf5-reader", "image", "axum"]),
        ("classifier-images", vec!["tensorflow", "hdf5-reader", "axum"]),
        ("classifier-keras", vec!["tensorflow", "image", "axum"]),
        ("classifier-model", vec!["tensorflow", "hdf5-reader", "serde"]),
        ("classifier-tensorflow", vec!["image", "axum"]),
        ("classifier-worker", vec!["axum", "tower-http", "reqwest"]),
    ] {
        let below = packages.below(package);
        let found: Vec<&str> = unwanted.into_iter().filter(|name| below.contains(name)).collect();
        assert!(found.is_empty(), "{package} links with {found:?}");
    }
}

/// The map in ARCHITECTURE.md lists the dependencies between crates as Cargo has them.
#[test]
fn the_map_of_crates_is_what_cargo_says() {
    let packages = Packages::of_this_workspace();
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let map = text.split("## Map").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut shown = BTreeMap::new();
    for row in map.lines().filter(|line| line.starts_with("| `")) {
        let [_, folder, .., links, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        shown.insert(names(folder).pop_first().unwrap(), names(links));
    }
    let links = |package: &String| {
        let linked = packages.ours.iter().filter(|(_, other)| packages.links[package].contains(*other));
        linked.map(|(folder, _)| folder.clone()).collect::<BTreeSet<_>>()
    };
    let found: BTreeMap<_, _> =
        packages.ours.iter().map(|(folder, package)| (folder.clone(), links(package))).collect();
    assert_eq!(shown, found);
}

#[test]
fn what_is_linked_through_others_is_found_and_what_only_tests_use_is_not() {
    let metadata = serde_json::json!({
        "packages": [{"id": "1", "name": "a", "manifest_path": "a"}, {"id": "2", "name": "b", "manifest_path": "b"},
            {"id": "3", "name": "c", "manifest_path": "c"}, {"id": "4", "name": "d", "manifest_path": "d"}],
        "resolve": {"nodes": [
            {"id": "1", "deps": [{"pkg": "2", "dep_kinds": [{"kind": null}]}, {"pkg": "4", "dep_kinds": [{"kind": "dev"}]}]},
            {"id": "2", "deps": [{"pkg": "3", "dep_kinds": [{"kind": "build"}, {"kind": null}]}]},
            {"id": "3", "deps": [{"pkg": "2", "dep_kinds": [{"kind": null}]}]},
            {"id": "4", "deps": []}]}});
    assert_eq!(Packages::read(&metadata).below("a"), BTreeSet::from(["b", "c"]));
}
