//! The files that the Dockerfiles copy exist.

use std::collections::BTreeSet;
use std::fs;

use super::root;

const DOCKERFILES: [&str; 2] = ["Dockerfile.api", "Dockerfile.worker"];

/// Returns what a Dockerfile copies from the build context, and not from another stage.
fn copied(dockerfile: &str) -> BTreeSet<String> {
    let instructions = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let from_the_folder = instructions.filter(|line| !line.contains("--from="));
    from_the_folder
        .flat_map(|line| {
            let mut words: Vec<&str> =
                line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            // The last one is the destination.
            words.pop();
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_ignore_file_lets_through_what_the_dockerfiles_copy() {
    let root = root();
    let ignored = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let allowed: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for name in DOCKERFILES {
        let sources = copied(&fs::read_to_string(root.join(name)).unwrap());
        assert!(sources.len() > 5, "{name} copies {sources:?}");
        for source in sources {
            assert!(
                allowed.iter().any(|path| source == *path || source.starts_with(&format!("{path}/"))),
                "{name} copies `{source}`, which .dockerignore leaves out"
            );
            assert!(root.join(&source).exists(), "{name} copies `{source}`, which does not exist");
        }
    }
}

#[test]
fn the_dockerfiles_know_every_crate_of_the_workspace() {
    let root = root();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for name in DOCKERFILES {
        let sources = copied(&fs::read_to_string(root.join(name)).unwrap());
        let members = members.split(',').map(|member| member.trim().trim_matches('"'));
        for member in members.filter(|member| !member.is_empty()) {
            let manifest = format!("{member}/Cargo.toml");
            assert!(sources.contains(&manifest), "{name} does not copy `{manifest}`");
        }
    }
}
