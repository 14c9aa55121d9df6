//! The settings of the log.

use clap::{Args, ValueEnum};

use super::check_filter;

/// The settings of the log.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Which events are logged: a level, or levels by target such as `info,common=debug` (LOG_FILTER, default `info`).
    /// `debug` logs every part and costs throughput.
    #[arg(long, env = "LOG_FILTER", default_value = "info", value_parser = parse_filter)]
    pub log_filter: String,

    /// Log format: `text` for people, `json` for machines (LOG_FORMAT, default `text`).
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A readable line per event.
    Text,
    /// A JSON object per event.
    Json,
}

fn parse_filter(text: &str) -> Result<String, String> {
    let example = |error| format!("{error}, expected e.g. `info` or `info,worker=debug`");
    check_filter(text).map(|()| text.to_owned()).map_err(example)
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn parse(word: &str) -> Option<LogConfig> {
        let matches =
            LogConfig::augment_args(Command::new("program")).try_get_matches_from(["program", word]).ok()?;
        LogConfig::from_arg_matches(&matches).ok()
    }

    #[test]
    fn a_format_and_a_filter_are_taken_and_what_is_none_is_refused() {
        assert_eq!(parse("--log-format=json").unwrap().log_format, LogFormat::Json);
        assert!(parse("--log-filter=info,worker=debug").is_some());
        assert!(parse("--log-filter=info,worker=loud").is_none());
    }
}
