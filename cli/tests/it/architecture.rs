//! The architecture rules of ARCHITECTURE.md: checked on the source files, and on Cargo's metadata where Cargo knows
//! them. A violation is reported with its file.

mod circles;
mod containers;
mod packages;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use self::source::Source;

/// Folders with Rust sources.
const FOLDERS: [&str; 7] = ["common", "engine", "api", "worker", "cli", "simulation", "testing"];

/// Most lines of a file.
const MAX_LINES: usize = 500;

/// A rule for the sources below a folder.
struct Rule {
    says: &'static str,
    within: &'static [&'static str],
    /// Exceptions: paths below these.
    except: &'static [&'static str],
    forbids: Forbids,
}

enum Forbids {
    /// Paths that contain one of these, segments joined by `::`.
    Paths(&'static [&'static str]),
    /// `async` and `await`.
    Waiting,
    /// Reading environment variables.
    Environment,
}

const ALL: &[&str] = &["common/src", "engine", "api/src", "worker/src", "cli/src"];

const RULES: [Rule; 9] = [
    Rule {
        says: "lapin is at home in common/src/broker/rabbitmq",
        within: &["common/src"],
        except: &["common/src/broker/rabbitmq"],
        forbids: Forbids::Paths(&["lapin"]),
    },
    Rule {
        says: "redis is at home in common/src/store/redis",
        within: &["common/src"],
        except: &["common/src/store/redis"],
        forbids: Forbids::Paths(&["redis::aio", "redis::Client", "redis::cmd", "redis::Script"]),
    },
    Rule {
        says: "logs and metrics are set up in common/src/telemetry",
        within: &["common/src"],
        except: &["common/src/telemetry"],
        forbids: Forbids::Paths(&["tracing_subscriber", "metrics_exporter_prometheus"]),
    },
    Rule {
        says: "rollout decides and does no IO",
        within: &["common/src/rollout"],
        except: &[],
        forbids: Forbids::Paths(&[
            "tokio",
            "async_trait",
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "Broker",
            "Store",
        ]),
    },
    Rule {
        says: "rollout and the stages of an image never await",
        within: &[
            "common/src/rollout",
            "engine",
            "worker/src/pipeline/batch",
            "worker/src/pipeline/postprocess",
        ],
        except: &[],
        forbids: Forbids::Waiting,
    },
    Rule {
        says: "only config.rs and main.rs read the environment",
        within: ALL,
        except: &[],
        forbids: Forbids::Environment,
    },
    Rule {
        says: "the worker's engines.rs alone opens model files",
        within: &["worker/src"],
        except: &["worker/src/engines"],
        forbids: Forbids::Paths(&["keras::open", "load_saved_model"]),
    },
    Rule {
        says: "what travels over HTTP knows neither the server nor its libraries",
        within: &["api/src/wire"],
        except: &[],
        forbids: Forbids::Paths(&["crate", "common", "axum", "tokio"]),
    },
    Rule {
        says: "use cases and their failures know no HTTP",
        within: &[
            "api/src/app",
            "api/src/budget",
            "api/src/disk",
            "api/src/failure",
            "api/src/keys",
            "api/src/predict/answer_size",
            "api/src/predict/classify",
            "api/src/predict/job_share",
            "api/src/predict/jobs",
            "api/src/predict/pin",
            "api/src/predict/requested",
            "api/src/predict/split",
            "api/src/predict/submit",
            "api/src/rollout",
            "api/src/shares",
            "api/src/trace",
        ],
        except: &[],
        forbids: Forbids::Paths(&["axum", "hyper", "crate::door", "crate::problem"]),
    },
];

impl Rule {
    fn is_about(&self, path: &str) -> bool {
        let below = |start: &&str| {
            path.strip_prefix(*start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
        };
        let reads = path.ends_with("/config.rs") || path.ends_with("/main.rs");
        let source = path.contains("/src/");
        source
            && self.within.iter().any(below)
            && !self.except.iter().any(below)
            && !(matches!(self.forbids, Forbids::Environment) && reads)
    }

    fn broken_in(&self, source: &Source) -> Vec<String> {
        let with = |wanted: &str| {
            let wanted = format!("::{wanted}::");
            source.paths.iter().filter(move |path| format!("::{path}::").contains(&wanted)).cloned()
        };
        match self.forbids {
            Forbids::Paths(paths) => paths.iter().flat_map(|path| with(path)).collect(),
            Forbids::Waiting => source.waits.iter().map(|word| (*word).to_owned()).collect(),
            Forbids::Environment => {
                let read = ["env::var", "env::var_os", "env::vars"].into_iter().flat_map(with);
                read.chain(source.env_attributes.iter().cloned()).collect()
            }
        }
    }
}

/// Returns every rule that a file breaks.
fn broken_rules(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let too_long = (lines > MAX_LINES)
        .then(|| format!("{path}: a file has at most {MAX_LINES} lines, this has {lines}"));
    let source = Source::read(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let rules = RULES.iter().filter(|rule| rule.is_about(path));
    let broken = rules.flat_map(|rule| {
        let found = rule.broken_in(&source).into_iter();
        found.map(|what| format!("{path}: {}, but here is `{what}`", rule.says)).collect::<Vec<_>>()
    });
    too_long.into_iter().chain(broken).collect()
}

/// Returns every Rust file, relative to the root, with `/` between folders.
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

#[test]
fn every_source_keeps_the_house_rules() {
    let root = root();
    let sources = sources(&root);
    for known in ["api/src/config.rs", "common/src/package/config.rs", "engine/keras/src/layers.rs"] {
        assert!(sources.iter().any(|path| path == known), "{known} was not found");
    }
    let read = |path: &String| fs::read_to_string(root.join(path)).unwrap();
    let broken: Vec<String> = sources.iter().flat_map(|path| broken_rules(path, &read(path))).collect();
    assert!(broken.is_empty(), "{} house rules are broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn a_broken_rule_is_found_and_a_good_source_is_left_alone() {
    let bad = [
        ("common/src/store.rs", "use {std::fmt, lapin};", "lapin is at home"),
        ("common/src/store.rs", "fn f(c: &lapin::Channel) {}", "lapin is at home"),
        ("common/src/rollout.rs", "use std::fs;", "does no IO"),
        ("common/src/rollout/step.rs", "use crate::store::{Revised, Store};", "does no IO"),
        ("engine/images/src/decode.rs", "fn f() { async {}; }", "never await"),
        ("worker/src/pipeline/batch.rs", "async fn f() {}", "never await"),
        ("worker/src/run.rs", "fn f() { std::env::var(\"X\"); }", "read the environment"),
        ("api/src/auth.rs", "struct A {\n #[arg(long, env = \"X\")]\n a: u8 }", "read the environment"),
        ("worker/src/models.rs", "fn f() { keras::open(path, format); }", "alone opens"),
        ("api/src/wire/fleet.rs", "use crate::app::App;", "knows neither"),
        ("api/src/predict/submit.rs", "use axum::http::StatusCode;", "know no HTTP"),
        ("api/src/failure/code.rs", "fn f(code: Code) { crate::problem::status(code); }", "know no HTTP"),
        ("api/src/lib.rs", &"\n".repeat(MAX_LINES + 1), "at most 500 lines"),
    ];
    for (path, text, says) in bad {
        let broken = broken_rules(path, text);
        assert!(matches!(&broken[..], [one] if one.contains(says)), "{path}: {text}: {broken:?}");
    }
    for (path, text) in [
        ("common/src/broker/rabbitmq/topology.rs", "use lapin::Channel;"),
        ("common/src/store.rs", "// lapin::Channel\n/// [`lapin::Channel`]\nfn f() { g(\"lapin::x\"); }"),
        ("common/src/rollout.rs", "use std::time::Duration;"),
        ("worker/src/run.rs", "async fn f() { g().await }"),
        ("api/src/auth.rs", "#[cfg(test)]\nmod tests { fn f() { std::env::var(\"X\"); } }"),
        ("api/src/config.rs", "fn f() { std::env::var(\"X\"); }"),
        ("engine/keras/tests/it/main.rs", "async fn f() {}"),
    ] {
        assert_eq!(broken_rules(path, text), [""; 0], "{path}: {text}");
    }
}
