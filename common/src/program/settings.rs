//! Settings that can never work: the program ends at its start and names them.

use std::error::Error;

use clap::error::{ContextKind, ContextValue};
use clap::{Command, Parser};

use crate::config::WrongSetting;
use crate::telemetry::TelemetryError;

/// The exit code for such a setting, and for an invalid command line.
pub const WRONG_SETTING: u8 = 2;

/// Returns the exit code for an error that ended a program: [`WRONG_SETTING`] if a setting caused it, else 1.
#[must_use]
pub fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    let is_setting = |error: &(dyn Error + 'static)| {
        error.is::<WrongSetting>() || matches!(error.downcast_ref(), Some(TelemetryError::Filter { .. }))
    };
    if causes.into_iter().any(is_setting) { WRONG_SETTING } else { 1 }
}

/// Parses a program's settings from its command line and environment, as [`Parser::parse`] does, and ends the program
/// on errors. Also names the environment variable of an invalid value: clap names only the option, but most settings
/// come from the environment.
#[must_use]
pub fn parse_settings<P: Parser>() -> P {
    P::try_parse().unwrap_or_else(|error| {
        // If stderr is closed, the exit code still tells.
        let _ = error.print();
        if let Some(variable) = variable_of(&built::<P>(), &error) {
            eprintln!("The setting is also the environment variable {variable}.");
        }
        std::process::exit(error.exit_code())
    })
}

/// clap shows an option by its name only once its command is built.
fn built<P: Parser>() -> Command {
    let mut command = P::command();
    command.build();
    command
}

/// Returns the environment variable of the option with the invalid value.
fn variable_of(command: &Command, error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let own = command.get_arguments().find(|argument| argument.to_string() == *option);
    let variable =
        own.and_then(|argument| argument.get_env()).map(|name| name.to_string_lossy().into_owned());
    variable.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, error)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("starting")]
    struct Starting(#[source] Box<dyn Error + Send + Sync>);

    #[derive(Debug, Parser)]
    struct Program {
        #[arg(long, env = "PROGRAM_SIZE", value_parser = clap::value_parser!(u16).range(1..))]
        size: Option<u16>,
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        other: Option<u16>,
    }

    #[test]
    fn the_variable_of_a_value_that_is_not_valid_is_named() {
        let variable = |words: &[&str]| {
            let error = Program::try_parse_from([&["program"], words].concat()).unwrap_err();
            variable_of(&built::<Program>(), &error)
        };
        assert_eq!(variable(&["--size", "0"]).as_deref(), Some("PROGRAM_SIZE"));
        assert_eq!(variable(&["--other", "0"]), None);
        assert_eq!(variable(&["--unknown"]), None);
    }

    #[test]
    fn a_setting_is_found_as_the_cause_however_deep_it_is() {
        let wrong = || WrongSetting { variable: "MODELS_DIR", fault: "is no folder".to_owned() };
        assert_eq!(wrong().to_string(), "MODELS_DIR: is no folder");
        assert_eq!(exit_code(&wrong()), 2);
        assert_eq!(exit_code(&Starting(Box::new(Starting(Box::new(wrong()))))), 2);
        assert_eq!(exit_code(&Starting(Box::new(io::Error::other("a passing fault")))), 1);
        assert_eq!(exit_code(&io::Error::from(io::ErrorKind::AddrInUse)), 1);
    }
}
