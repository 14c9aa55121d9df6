//! Runs a command.

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::arguments::Command;
use crate::commands::{
    check, dead_letters, examples, inspect, load, models, package, predict, score, serve, swap, workers,
};
use crate::exit::Exit;

/// Runs one command to its end. Commands that open the TensorFlow library do so before other threads exist: the library
/// reads its settings from the environment.
///
/// # Errors
/// Any error of the command; [`Exit::of`] returns the exit code.
pub fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Predict(arguments) => block_on(predict::run(arguments)),
        Command::Models(arguments) => block_on(models::run(arguments)),
        Command::Swap(arguments) => block_on(swap::run(arguments)),
        Command::Rollback(arguments) => block_on(swap::roll_back(arguments)),
        Command::Workers(arguments) => block_on(workers::run(arguments)),
        Command::DeadLetters(arguments) => block_on(dead_letters::run(arguments)),
        Command::Package(arguments) => package::run(&arguments),
        Command::Examples(arguments) => examples::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Load(arguments) => block_on(load::run(arguments)),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    Runtime::new().context("the runtime could not be started")?.block_on(command)
}
