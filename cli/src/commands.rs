//! A file for each command.

pub mod dead_letters;
pub mod inspect;
pub mod load;
pub mod models;
pub mod predict;
pub mod score;
pub mod serve;
pub mod swap;
pub mod workers;

use crate::arguments::Command;
use crate::exit::Exit;

/// Runs one command to its end.
///
/// # Errors
/// Whatever keeps it from doing its work; [`Exit::of`] tells the exit code.
pub async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments).await,
        Command::Predict(arguments) => predict::run(arguments).await,
        Command::Models(arguments) => models::run(arguments).await,
        Command::Swap(arguments) => swap::run(arguments).await,
        Command::Rollback(arguments) => swap::roll_back(arguments).await,
        Command::Workers(arguments) => workers::run(arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Load(arguments) => load::run(arguments).await,
    }
}
