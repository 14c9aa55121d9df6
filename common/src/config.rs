//! The settings that API and worker share. Each program flattens them into its own.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, fs};

use clap::Args;

use crate::broker::BrokerLimits;
use crate::package::Catalog;

/// The addresses of the queue and the store, and their limits.
#[derive(Clone, Args)]
pub struct FleetConfig {
    /// Address of RabbitMQ, with user, password and virtual host (RABBITMQ_URL, default
    /// `amqp://guest:guest@localhost:5672/%2f`). Every process of a fleet uses the same.
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        default_value = "amqp://guest:guest@localhost:5672/%2f"
    )]
    pub rabbitmq_url: String,

    /// Address of Redis, with user, password and database (REDIS_URL, default `redis://localhost:6379/0`). Every
    /// process of a fleet uses the same.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://localhost:6379/0")]
    pub redis_url: String,

    /// Prefix of the name of every queue and key (FLEET_PREFIX, default `classifier`): 1 to 100 letters, digits, `_`,
    /// `-`, `.`, `:` or `/`. Two fleets can share the servers with two prefixes.
    #[arg(long, env = "FLEET_PREFIX", default_value = "classifier", value_parser = parse_prefix)]
    pub fleet_prefix: String,

    /// Most parts of jobs that wait for a worker (QUEUE_MAX_PARTS, default 2000). Beyond it a request gets 429. A
    /// higher value absorbs longer bursts, but takes memory and disk of RabbitMQ (a part has up to a few MiB), and
    /// clients wait for jobs that will miss their deadline. An existing queue keeps the limit it was created with.
    #[arg(long, env = "QUEUE_MAX_PARTS", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_max_parts: u32,

    /// Most bytes of parts that wait for a worker (QUEUE_MAX_BYTES, default none). Beyond it a request gets 429. An
    /// existing queue keeps the limit it was created with. Processes of the previous release cannot use a queue with
    /// such a limit: set it once all processes run this release.
    #[arg(long, env = "QUEUE_MAX_BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub queue_max_bytes: Option<u64>,

    /// Timeout of one call to RabbitMQ or Redis, in seconds (FLEET_CALL_TIMEOUT, default 10). A lower value reports
    /// errors sooner, a higher one survives longer restarts of the servers. A worker gives a part back after 5 seconds
    /// without Redis, whatever this is.
    #[arg(long, env = "FLEET_CALL_TIMEOUT", default_value = "10", value_parser = parse_seconds)]
    pub fleet_call_timeout: Duration,
}

impl FleetConfig {
    /// Returns the limits of the broker.
    #[must_use]
    pub fn broker_limits(&self) -> BrokerLimits {
        BrokerLimits {
            max_parts: self.queue_max_parts,
            max_bytes: self.queue_max_bytes,
            call_timeout: self.fleet_call_timeout,
        }
    }
}

/// Omits the addresses, which may contain passwords.
impl fmt::Debug for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetConfig")
            .field("fleet_prefix", &self.fleet_prefix)
            .field("queue_max_parts", &self.queue_max_parts)
            .field("queue_max_bytes", &self.queue_max_bytes)
            .field("fleet_call_timeout", &self.fleet_call_timeout)
            .finish_non_exhaustive()
    }
}

/// The location of the model packages.
#[derive(Debug, Clone, Args)]
pub struct ModelsConfig {
    /// The folder with the model packages (MODELS_DIR, default `models`). API and workers must see the same packages.
    #[arg(long, env = "MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
}

impl ModelsConfig {
    /// Opens the folder of packages.
    ///
    /// # Errors
    /// The folder does not exist or is not readable.
    pub fn catalog(&self) -> Result<Catalog, WrongSetting> {
        let folder = &self.models_dir;
        // Listing a folder and opening its files are separate permissions.
        match fs::read_dir(folder).and_then(|_| fs::metadata(folder.join("."))) {
            Ok(_) => Ok(Catalog::new(folder.clone())),
            Err(error) => Err(WrongSetting {
                variable: "MODELS_DIR",
                fault: format!(
                    "`{}` cannot be used: {error}, expected the folder with the model packages",
                    folder.display()
                ),
            }),
        }
    }
}

/// A setting with which the program can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {fault}")]
pub struct WrongSetting {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong and what was expected. Never the whole value of a setting that may contain a password.
    pub fault: String,
}

/// Longest time that a setting may have: more is a mistake, and such moments would overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Longest prefix of names, in bytes. RabbitMQ accepts names of 255.
const LONGEST_PREFIX: usize = 100;

/// Parses a time such as `30` or `0.5`, in seconds, for clap.
///
/// # Errors
/// A sentence with the expected form.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|span| !span.is_zero() && *span <= LONGEST)
        .ok_or_else(|| {
            format!(
                "`{text}` is not a time, expected seconds above 0 such as `30` or `0.5`, at most 10 years"
            )
        })
}

/// Parses the prefix of all names, for clap. Braces would break the hash tag that keeps a fleet's keys together in a
/// Redis Cluster, an empty prefix would omit it, and RabbitMQ reserves names that begin with `amq.`.
fn parse_prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    let is_sound = !text.is_empty()
        && text.len() <= LONGEST_PREFIX
        && !text.starts_with("amq.")
        && text.chars().all(allowed);
    if is_sound {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected 1 to {LONGEST_PREFIX} letters, digits, `_`, `-`, `.`, `:` or `/`, not beginning with `amq.`"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn parse<T: Args>(words: &[&str]) -> Result<T, clap::Error> {
        let words = std::iter::once(&"program").chain(words);
        let matches = T::augment_args(Command::new("program")).try_get_matches_from(words)?;
        T::from_arg_matches(&matches)
    }

    #[test]
    fn settings_are_read_from_the_command_line() {
        let words = ["--queue-max-parts", "7", "--fleet-call-timeout", "0.5", "--fleet-prefix", "other"];
        let config: FleetConfig = parse(&words).unwrap();
        let limits = config.broker_limits();
        assert_eq!((limits.max_parts, limits.call_timeout), (7, Duration::from_millis(500)));
        assert_eq!(config.fleet_prefix, "other");
    }

    #[test]
    fn a_bound_or_a_time_of_nothing_is_refused() {
        for words in [
            ["--queue-max-parts", "0"],
            ["--fleet-call-timeout", "0"],
            ["--fleet-call-timeout", "1e-12"],
            ["--fleet-call-timeout", "1e12"],
            ["--fleet-call-timeout", "x"],
        ] {
            assert!(parse::<FleetConfig>(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_prefix_that_breaks_names_is_refused() {
        for bad in ["", "a b", "{a}", "a}b", "ä", "a\nb", "*", "amq.a", &"x".repeat(101)] {
            assert!(parse::<FleetConfig>(&["--fleet-prefix", bad]).is_err(), "{bad:?}");
        }
        for good in ["classifier", "team:images/v1", "a-b_c.d", &"x".repeat(100)] {
            assert_eq!(parse::<FleetConfig>(&["--fleet-prefix", good]).unwrap().fleet_prefix, good);
        }
    }

    #[test]
    fn a_log_filter_that_cannot_be_read_is_refused() {}

    #[test]
    fn the_models_folder_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = |path: PathBuf| ModelsConfig { models_dir: path }.catalog();
        assert_eq!(catalog(folder.path().to_owned()).unwrap().folder(), folder.path());
        fs::write(folder.path().join("file"), "").unwrap();
        for name in ["missing", "file"] {
            let error = catalog(folder.path().join(name)).unwrap_err().to_string();
            assert!(error.starts_with("MODELS_DIR: `") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn addresses_are_not_shown() {
        let config: FleetConfig = parse(&["--redis-url", "redis://:secret@host/0"]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
