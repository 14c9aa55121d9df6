//! The rules about what a source may mention.

use super::source::Source;

/// Most lines of a file.
pub(super) const MAX_LINES: usize = 500;

/// One rule.
pub(super) struct Rule {
    /// The rule in words.
    pub(super) says: &'static str,
    /// Starts of the paths that it is about.
    within: &'static [&'static str],
    /// Starts of paths that it is not about.
    except: &'static [&'static str],
    forbids: Forbids,
}

/// What must not stand in a source.
enum Forbids {
    /// A path that begins with one of these crates.
    Crates(&'static [&'static str]),
    /// A path that holds one of these runs of segments.
    Paths(&'static [&'static [&'static str]]),
    /// These, or `async` and `await`.
    PathsAndAwait(&'static [&'static [&'static str]]),
    /// A module or function of Keras's other than its layers.
    KerasFiles,
    /// Reading environment variables.
    Environment,
}

/// A library and its one home.
const fn home(says: &'static str, library: &'static [&'static str], at: &'static [&'static str]) -> Rule {
    Rule {
        says,
        within: &["common/src", "api/src", "worker/src", "cli/src"],
        except: at,
        forbids: Forbids::Crates(library),
    }
}

/// All rules.
pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "the api knows no TensorFlow, HDF5 or image decoding, and no worker",
        within: &["api/src"],
        except: &[],
        forbids: Forbids::Crates(&[
            "tensorflow",
            "hdf5_reader",
            "zip",
            "image",
            "fast_image_resize",
            "worker",
            "cli",
        ]),
    },
    Rule {
        says: "the worker knows no HTTP, and no api",
        within: &["worker/src"],
        except: &[],
        forbids: Forbids::Crates(&["axum", "tower_http", "hyper", "reqwest", "api", "cli"]),
    },
    Rule {
        says: "common knows neither api nor worker",
        within: &["common/src"],
        except: &[],
        forbids: Forbids::Crates(&["api", "worker", "cli"]),
    },
    home("lapin is at home in common/src/broker/rabbitmq", &["lapin"], &["common/src/broker/rabbitmq"]),
    home("redis is at home in common/src/store/redis", &["redis"], &["common/src/store/redis"]),
    home("hdf5_reader is at home in worker/src/keras/hdf5", &["hdf5_reader"], &["worker/src/keras/hdf5"]),
    home("zip is at home in worker/src/keras/archive", &["zip"], &["worker/src/keras/archive"]),
    home("tensorflow is at home in worker/src/tensorflow", &["tensorflow"], &["worker/src/tensorflow"]),
    home("image is at home in worker/src/pipeline/decode", &["image"], &["worker/src/pipeline/decode"]),
    home(
        "fast_image_resize is at home in worker/src/pipeline/preprocess",
        &["fast_image_resize"],
        &["worker/src/pipeline/preprocess"],
    ),
    home("axum is at home in api/src", &["axum", "tower_http", "utoipa", "utoipa_axum"], &["api/src"]),
    home("reqwest is at home in cli/src/client.rs", &["reqwest"], &["cli/src/client.rs"]),
    home(
        "logs and metrics are set up in common/src/telemetry",
        &["tracing_subscriber", "metrics_exporter_prometheus"],
        &["common/src/telemetry"],
    ),
    Rule {
        says: "keras/ never sees TensorFlow",
        within: &["worker/src/keras"],
        except: &[],
        forbids: Forbids::Paths(&[&["tensorflow"]]),
    },
    Rule {
        says: "tensorflow/ knows of Keras only the model and its layers; the loader joins the two",
        within: &["worker/src/tensorflow"],
        except: &["worker/src/tensorflow/loader"],
        forbids: Forbids::KerasFiles,
    },
    Rule {
        says: "rollout decides and does no IO",
        within: &["common/src/rollout"],
        except: &[],
        forbids: Forbids::PathsAndAwait(&[
            &["tokio"],
            &["async_trait"],
            &["std", "fs"],
            &["std", "io"],
            &["std", "net"],
            &["std", "process"],
            &["std", "thread"],
            &["broker", "Broker"],
            &["store", "Store"],
        ]),
    },
    Rule {
        says: "stages of the pipeline are plain functions and never await",
        within: &[
            "worker/src/pipeline/decode",
            "worker/src/pipeline/preprocess",
            "worker/src/pipeline/batch",
            "worker/src/pipeline/postprocess",
        ],
        except: &[],
        forbids: Forbids::PathsAndAwait(&[]),
    },
    Rule {
        says: "only config.rs files read the environment",
        within: &["common/src", "api/src", "worker/src", "cli/src"],
        except: &[],
        forbids: Forbids::Environment,
    },
];

impl Rule {
    /// Whether the rule is about this file.
    pub(super) fn applies_to(&self, path: &str) -> bool {
        let starts = |starts: &[&str]| starts.iter().any(|start| is_below(path, start));
        let reads_environment = path.ends_with("/config.rs") || path.ends_with("/main.rs");
        starts(self.within)
            && !starts(self.except)
            && !(matches!(self.forbids, Forbids::Environment) && reads_environment)
    }

    /// Line and text of everything that breaks it.
    pub(super) fn broken_in(&self, source: &Source) -> Vec<(usize, String)> {
        let paths = |breaks: &dyn Fn(&[&str]) -> bool| -> Vec<(usize, String)> {
            let found = source
                .paths
                .iter()
                .filter(|(_, path)| breaks(&path.iter().map(String::as_str).collect::<Vec<_>>()));
            found.map(|(line, path)| (*line, path.join("::"))).collect()
        };
        let holds = |path: &[&str], runs: &[&[&str]]| {
            runs.iter().any(|run| path.windows(run.len()).any(|window| window == *run))
        };
        match self.forbids {
            Forbids::Crates(names) => {
                paths(&|path| names.contains(&path[0]) && !source.local.contains(path[0]))
            }
            Forbids::Paths(runs) => paths(&|path| holds(path, runs)),
            Forbids::PathsAndAwait(runs) => {
                let mut broken = paths(&|path| holds(path, runs));
                broken.extend(source.awaits.iter().map(|(line, word)| (*line, word.clone())));
                broken
            }
            Forbids::KerasFiles => paths(&|path| {
                let is_file = |name: &str| name.starts_with(char::is_lowercase) && name != "layers";
                path.windows(2).any(|pair| pair[0] == "keras" && is_file(pair[1]))
            }),
            Forbids::Environment => {
                let mut broken =
                    paths(&|path| path.windows(2).any(|pair| pair[0] == "env" && pair[1].starts_with("var")));
                broken.extend(source.env_attributes.iter().map(|line| (*line, "#[arg(env)]".to_owned())));
                broken
            }
        }
    }
}

/// Whether `path` is the file or folder `start`: `worker/src/keras` means `worker/src/keras.rs` and all in
/// `worker/src/keras/`.
fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}
