//! Passes changed model files and configs to their parsers. Each must give a consistent model or an error message:
//! without a crash, within two seconds of CPU time, or two per megabyte and at most five, and within four times the
//! file's size and 256 MB.
//!
//! ```text
//! mutants --count 100000          tries them all; the exit status says whether one did harm
//! mutants --count 2000 --graph    what still loads is built and run by TensorFlow, too
//! mutants --replay 4711           tries one here, and shows what came of it
//! mutants --write 4711 FILE       keeps it
//! ```
//!
//! A mutant is identified by its number: the same in every run. Mutants are tried in separate processes, since a
//! finding may end them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod bases;
mod change;
mod graph;
mod limits;
mod mutant;
mod random;
mod trial;
mod watch;

use crate::mutant::Mutant;

#[derive(Parser)]
struct Arguments {
    /// Number of the first mutant.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Number of mutants.
    #[arg(long, default_value_t = 2_000)]
    count: u64,
    /// Build and run what loads, with the TensorFlow library in this folder.
    #[arg(long)]
    graph: Option<PathBuf>,
    /// Try one mutant in this process.
    #[arg(long)]
    replay: Option<u64>,
    /// Write the mutant of `--replay` to this file instead.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Try the mutants in this process and report each; for the program's own use.
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let range = match arguments.replay {
        Some(number) => number..number + 1,
        None => arguments.first..arguments.first + arguments.count,
    };
    if let (Some(number), Some(path)) = (arguments.replay, &arguments.write) {
        std::fs::write(path, Mutant::new(&bases::all()?, number).bytes)?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.child || arguments.replay.is_some() {
        trial::run(range, arguments.graph.as_deref(), arguments.replay.is_some())?;
        return Ok(ExitCode::SUCCESS);
    }
    watch::run(range, arguments.graph.as_deref())
}
