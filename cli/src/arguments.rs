//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    check, dead_letters, examples, inspect, load, models, package, predict, score, serve, swap, workers,
};
use crate::exit;

/// Serves Keras image classifiers over HTTP, sends requests to them, and administers them.
#[derive(Debug, Parser)]
#[command(name = "classifier", version, after_help = exit::HELP)]
pub struct Arguments {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, each with a file in `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run API and worker in one process, without other servers: with a model, at once.
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<serve::Arguments>),
    /// Classify images.
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::Arguments),
    /// List the packages in the models folder.
    Models(models::Arguments),
    /// Change the model of the whole fleet.
    #[command(after_help = swap::EXAMPLES)]
    Swap(swap::Arguments),
    /// Change back to the model that was active before.
    Rollback(swap::RollbackArguments),
    /// Show the workers and what they have loaded.
    Workers(workers::Arguments),
    /// List, replay or drop dead letters: images that no worker could classify.
    #[command(after_help = dead_letters::EXAMPLES)]
    DeadLetters(dead_letters::Arguments),
    /// Make a package of a model.
    #[command(after_help = package::EXAMPLES)]
    Package(package::Arguments),
    /// Record today's scores of images as a package's examples.
    #[command(after_help = examples::EXAMPLES)]
    Examples(examples::Arguments),
    /// Check a package and its examples as a worker does, one line per check, without a server.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Describe a package and its layers, without a server.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Arguments),
    /// Run a package's model on an array, without preprocessing and without a server.
    #[command(after_help = score::EXAMPLES)]
    Score(score::Arguments),
    /// Send requests at a steady rate and count the answers.
    #[command(after_help = load::EXAMPLES)]
    Load(load::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_settings_of_a_command_share_a_name() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_fits_a_terminal_of_100_columns() {
        let texts = [
            exit::HELP,
            serve::EXAMPLES,
            package::EXAMPLES,
            examples::EXAMPLES,
            predict::EXAMPLES,
            swap::EXAMPLES,
            dead_letters::EXAMPLES,
            check::EXAMPLES,
            inspect::EXAMPLES,
            score::EXAMPLES,
            load::EXAMPLES,
        ];
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
