//! No two modules of a crate depend on each other: each can be read, and moved, without the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::Source;
use super::{root, sources};

/// The crates whose top-level modules are checked.
const CRATES: [&str; 9] = [
    "common",
    "engine/interface",
    "engine/images",
    "engine/model",
    "engine/keras",
    "engine/tensorflow",
    "api",
    "worker",
    "cli",
];

/// Returns which top-level modules of a crate mention which.
type Mentions = BTreeMap<String, BTreeSet<String>>;

fn mentions(crate_folder: &str) -> Mentions {
    let root = root();
    let start = format!("{crate_folder}/src/");
    let files: Vec<(String, String)> = sources(&root)
        .into_iter()
        .filter_map(|path| {
            Some((path.strip_prefix(&start)?.to_owned(), fs::read_to_string(root.join(&path)).ok()?))
        })
        .collect();
    let module = |file: &str| file.split(['/', '.']).next().unwrap_or_default().to_owned();
    let modules: BTreeSet<String> =
        files.iter().map(|(file, _)| module(file)).filter(|name| name != "lib" && name != "main").collect();
    let mut found = Mentions::new();
    for (file, text) in &files {
        let (from, depth) = (module(file), file.matches('/').count());
        if !modules.contains(&from) || file.ends_with("/tests.rs") {
            continue;
        }
        // In a top-level module's own file `super` is the crate, in a file below it `super::super`.
        let outside = ["crate::".to_owned(), "super::".repeat(depth + 1)];
        let source = Source::read(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let named = source.paths.iter().filter_map(|path| {
            let rest = outside.iter().find_map(|start| path.strip_prefix(start.as_str()))?;
            rest.split("::").next().map(str::to_owned)
        });
        let others = named.filter(|name| modules.contains(name) && *name != from);
        found.entry(from.clone()).or_default().extend(others);
    }
    found
}

/// Returns a path from a module back to itself.
fn circle(mentions: &Mentions) -> Option<Vec<String>> {
    fn walk(mentions: &Mentions, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
        let last = way.last()?.clone();
        for next in mentions.get(&last).into_iter().flatten() {
            if let Some(begin) = way.iter().position(|module| module == next) {
                return Some(way[begin..].iter().chain([next]).cloned().collect());
            }
            if done.contains(next) {
                continue;
            }
            way.push(next.clone());
            if let Some(found) = walk(mentions, way, done) {
                return Some(found);
            }
            way.pop();
        }
        done.insert(last);
        None
    }
    let mut done = BTreeSet::new();
    mentions.keys().find_map(|start| {
        if done.contains(start) { None } else { walk(mentions, &mut vec![start.clone()], &mut done) }
    })
}

#[test]
fn no_two_modules_of_a_crate_need_each_other() {
    let mut circles = Vec::new();
    for folder in CRATES {
        let found = mentions(folder);
        assert!(!found.is_empty(), "{folder} has no modules");
        circles.extend(circle(&found).map(|way| format!("{folder}: {}", way.join(" → "))));
    }
    assert!(circles.is_empty(), "modules need each other:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_however_long_and_a_tree_is_none() {
    let of = |pairs: &[(&str, &str)]| {
        let mut mentions = Mentions::new();
        for (from, to) in pairs {
            mentions.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circle(&mentions).map(|way| way.join(" "))
    };
    assert_eq!(of(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]).as_deref(), Some("b c d b"));
    assert_eq!(of(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), None);
}
