//! The settings that API and worker share. Each program flattens them into its own.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::broker::BrokerLimits;

/// Where the queue and the store are, and their bounds.
#[derive(Clone, Args)]
pub struct FleetConfig {
    /// RabbitMQ, with user, password and virtual host (RABBITMQ_URL, default
    /// `amqp://guest:guest@localhost:5672/%2f`). Every process of a fleet names the same.
    #[arg(
        long,
        env = "RABBITMQ_URL",
        hide_env_values = true,
        default_value = "amqp://guest:guest@localhost:5672/%2f"
    )]
    pub rabbitmq_url: String,

    /// Redis, with user, password and database (REDIS_URL, default `redis://localhost:6379/0`). Every
    /// process of a fleet names the same.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "redis://localhost:6379/0")]
    pub redis_url: String,

    /// Start of the name of every queue and key (FLEET_PREFIX, default `classifier`). Two fleets can
    /// share the servers under two prefixes.
    #[arg(long, env = "FLEET_PREFIX", default_value = "classifier")]
    pub fleet_prefix: String,

    /// Parts of jobs that may wait for a worker (QUEUE_MAX_PARTS, default 2000). Past it a request gets
    /// 429. More rides out longer bursts, but takes memory and disk of RabbitMQ (a part is up to a few
    /// MiB) and makes clients wait for what will miss its deadline. A queue that exists keeps the bound
    /// it was made with.
    #[arg(long, env = "QUEUE_MAX_PARTS", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_max_parts: u32,

    /// Longest time for one call to RabbitMQ or Redis, in seconds (FLEET_CALL_TIMEOUT, default 10). Less
    /// makes errors come sooner, more rides out longer restarts of the servers.
    #[arg(long, env = "FLEET_CALL_TIMEOUT", default_value = "10", value_parser = parse_seconds)]
    pub fleet_call_timeout: Duration,
}

impl FleetConfig {
    /// The bounds of the broker.
    #[must_use]
    pub fn broker_limits(&self) -> BrokerLimits {
        BrokerLimits { max_parts: self.queue_max_parts, call_timeout: self.fleet_call_timeout }
    }
}

/// Leaves out the addresses, which may hold passwords.
impl fmt::Debug for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetConfig")
            .field("fleet_prefix", &self.fleet_prefix)
            .field("queue_max_parts", &self.queue_max_parts)
            .field("fleet_call_timeout", &self.fleet_call_timeout)
            .finish_non_exhaustive()
    }
}

/// Where the model packages are.
#[derive(Debug, Clone, Args)]
pub struct ModelsConfig {
    /// The folder with the model packages (MODELS_DIR, default `models`). API and workers must see the
    /// same packages.
    #[arg(long, env = "MODELS_DIR", default_value = "models")]
    pub models_dir: PathBuf,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Which events are logged: a level, or levels by target such as `info,common=debug` (LOG_FILTER,
    /// default `info`). `debug` shows every part and costs throughput.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub log_filter: String,

    /// `text` for people, `json` for machines (LOG_FORMAT, default `text`).
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// Reads a time such as `30` or `0.5`, in seconds, for clap.
///
/// # Errors
/// Says what was expected.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("`{text}` is not a time, expected seconds above 0 such as `30` or `0.5`"))
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

        let log: LogConfig = parse(&["--log-format", "json"]).unwrap();
        assert_eq!(log.log_format, LogFormat::Json);
    }

    #[test]
    fn a_bound_or_a_time_of_nothing_is_refused() {
        for words in
            [["--queue-max-parts", "0"], ["--fleet-call-timeout", "0"], ["--fleet-call-timeout", "x"]]
        {
            assert!(parse::<FleetConfig>(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn addresses_are_not_shown() {
        let config: FleetConfig = parse(&["--redis-url", "redis://:secret@host/0"]).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
