//! The house rules of ARCHITECTURE.md, checked on every source file and on cargo's own idea of who
//! depends on whom. A rule that is broken is named with its file and line.

mod containers;
mod packages;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use self::rules::{MAX_LINES, RULES};
use self::source::Source;

/// Folders with Rust sources.
const FOLDERS: [&str; 5] = ["common", "api", "worker", "cli", "simulation"];

#[test]
fn every_source_keeps_the_house_rules() {
    let root = root();
    let broken: Vec<String> = sources(&root)
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(root.join(path)).unwrap();
            broken_rules(path, &text)
        })
        .collect();
    assert!(broken.is_empty(), "{} house rules are broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_source_is_looked_at() {
    let sources = sources(&root());
    for known in ["api/src/config.rs", "common/src/package/config.rs", "worker/src/keras/layers.rs"] {
        assert!(sources.iter().any(|path| path == known), "{known} was not found");
    }
}

/// Every rule that a file breaks, as `file:line: rule`.
fn broken_rules(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        broken.push(format!("{path}:{MAX_LINES}: a file has at most {MAX_LINES} lines, this has {lines}"));
    }
    let source = Source::read(text);
    for rule in RULES.iter().filter(|rule| rule.applies_to(path)) {
        broken.extend(
            rule.broken_in(&source)
                .into_iter()
                .map(|(line, what)| format!("{path}:{line}: {}, but here is `{what}`", rule.says)),
        );
    }
    broken
}

/// Every Rust file, relative to the root, with `/` between folders.
fn sources(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The checker itself: a bad snippet is found, on its line, and a good one is left alone.
mod checker {
    use super::*;

    fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
        let broken = broken_rules(path, text);
        assert_eq!(broken.len(), expected.len(), "{path}: {text}\n{broken:#?}");
        for (found, (line, rule)) in broken.iter().zip(expected) {
            assert!(found.starts_with(&format!("{path}:{line}: ")), "{found}, expected line {line}");
            assert!(found.contains(rule), "{found}, expected {rule:?}");
        }
    }

    #[test]
    fn a_library_outside_its_home_is_found_however_it_is_named() {
        let says = "lapin is at home in common/src/broker/rabbitmq";
        check("common/src/store.rs", "use lapin::Channel;", &[(1, says)]);
        check("common/src/store.rs", "\nuse {std::fmt, lapin};", &[(2, says)]);
        check("common/src/store.rs", "use lapin as rabbit;", &[(1, says)]);
        check("common/src/store.rs", "fn f() {\n  ::lapin::open();\n}", &[(2, says)]);
        check("common/src/store.rs", "fn f(c: &lapin::Channel) {}", &[(1, says)]);
        check("common/src/store.rs", "pub use lapin::{self, Channel};", &[(1, says), (1, says)]);
        check("common/src/broker/rabbitmq.rs", "use lapin::Channel;", &[]);
        check("common/src/broker/rabbitmq/topology.rs", "use lapin::Channel;", &[]);
    }

    #[test]
    fn words_in_comments_strings_and_other_paths_are_no_mentions() {
        for text in [
            "// use lapin::Channel;",
            "/* lapin::x /* nested */ lapin::y */",
            "/// [`lapin::Channel`]\nfn f() {}",
            r#"fn f() { g("lapin::Channel \" lapin::x"); }"#,
            r##"fn f() { g(r#"lapin::"x" "#); }"##,
            "fn f(c: char) -> bool { c == '\"' || c == '\\'' }",
            "use crate::lapin::x;",
            "use crate::lapin;\nfn f() { lapin::x(); }",
            "mod lapin;\nuse self::lapin::X;\nfn f() { lapin::x(); }",
            "fn f() -> impl Iterator + use<> { g(a, b); }",
            "fn lapin(lapin: u8) -> u8 { lapin.y() }",
        ] {
            check("common/src/store.rs", text, &[]);
        }
        // What looks like an open character literal is a lifetime.
        check("common/src/store.rs", "fn f<'a>(x: &'a lapin::X<'a>) {}", &[(1, "lapin is at home")]);
    }

    #[test]
    fn the_api_knows_no_images_and_the_worker_no_http() {
        check(
            "api/src/predict.rs",
            "use image::load_from_memory;",
            &[(1, "the api knows no"), (1, "at home")],
        );
        check("api/src/models.rs", "use hdf5_reader::File;", &[(1, "the api knows no"), (1, "at home")]);
        check("worker/src/run.rs", "use axum::Router;", &[(1, "the worker knows no HTTP"), (1, "at home")]);
        check("worker/src/run.rs", "use api::Parts;", &[(1, "the worker knows no HTTP")]);
        check("common/src/lib.rs", "use worker::run;", &[(1, "common knows neither")]);
    }

    #[test]
    fn keras_and_tensorflow_meet_only_in_the_model() {
        check(
            "worker/src/keras/weights.rs",
            "use crate::tensorflow::graph;",
            &[(1, "keras/ never sees TensorFlow")],
        );
        check("worker/src/keras.rs", "use super::tensorflow;", &[(1, "keras/ never sees TensorFlow")]);
        let says = "tensorflow/ knows of Keras only the model";
        check("worker/src/tensorflow/graph.rs", "use crate::keras::hdf5::open;", &[(1, says)]);
        check("worker/src/tensorflow.rs", "fn f() { crate::keras::import(x); }", &[(1, says)]);
        check("worker/src/tensorflow.rs", "use crate::keras::{Model, Node, layers::Conv2d};", &[]);
    }

    #[test]
    fn the_rollout_does_no_io_and_stages_never_await() {
        check("common/src/rollout.rs", "use std::fs;", &[(1, "rollout decides and does no IO")]);
        check("common/src/rollout/step.rs", "use tokio::time;", &[(1, "rollout decides and does no IO")]);
        check("common/src/rollout.rs", "async fn f() {}", &[(1, "rollout decides and does no IO")]);
        check("common/src/rollout.rs", "use crate::store::{Revised, Store};", &[(1, "rollout decides")]);
        check("common/src/rollout.rs", "use std::time::Duration;", &[]);
        check(
            "worker/src/pipeline/decode.rs",
            "async fn f() {\n g().await }",
            &[(1, "never await"), (2, "never await")],
        );
        check("worker/src/run.rs", "async fn f() { g().await }", &[]);
    }

    #[test]
    fn only_config_files_read_the_environment() {
        let says = "only config.rs files";
        check("worker/src/run.rs", "fn f() { std::env::var(\"X\"); }", &[(1, says)]);
        check("worker/src/run.rs", "use std::env::var_os;", &[(1, says)]);
        check("api/src/auth.rs", "struct A {\n #[arg(long, env = \"X\")]\n a: u8 }", &[(2, says)]);
        check("api/src/auth.rs", "fn f() -> &'static str { env!(\"CARGO\") }", &[]);
        check("api/src/auth.rs", "#[cfg(test)]\nmod tests { fn f() { std::env::var(\"X\"); } }", &[]);
        check(
            "api/src/auth.rs",
            "#[cfg(test)]\nmod tests { }\nfn f() { std::env::var(\"X\"); }",
            &[(3, says)],
        );
        for path in ["api/src/config.rs", "worker/src/main.rs", "cli/tests/it/serve.rs"] {
            check(path, "fn f() { std::env::var(\"X\"); }", &[]);
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        check("api/src/lib.rs", &"\n".repeat(MAX_LINES), &[]);
        check("api/src/lib.rs", &"\n".repeat(MAX_LINES + 1), &[(MAX_LINES, "at most 500 lines")]);
    }
}
