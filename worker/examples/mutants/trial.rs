//! A process that tries mutants, and reports for each its begin and its result.
//!
//! ```text
//! 17                                                  begun
//! 17 hdf5-bytes refused 312 4096                      microseconds, and bytes of memory at most
//! ```

use std::fs;
use std::io::{Write as _, stdout};
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use common::package::ModelConfig;
use keras::{self, Model};

use crate::bases::{self, Bases};
use crate::graph::Graph;
use crate::limits;
use crate::mutant::Mutant;

/// The stack of the threads on which the service reads models: a deeper recursion ends the process.
const STACK: usize = 2 << 20;

/// The result of a mutant.
enum End {
    Refused(String),
    Taken,
    /// TensorFlow ran it, with this much memory.
    Ran,
}

/// Tries the mutants of a range.
pub(crate) fn run(range: Range<u64>, graph: Option<&Path>, aloud: bool) -> Result<()> {
    let bases = bases::all()?;
    let graph = graph.map(|folder| Graph::open(folder, &bases)).transpose()?;
    let file = tempfile::NamedTempFile::new()?;
    thread::scope(|scope| {
        let tries = move || {
            for number in range {
                trial(&bases, graph.as_ref(), file.path(), (number, aloud))?;
            }
            Ok(())
        };
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, tries)?;
        thread.join().map_err(|_| anyhow!("a reader panicked"))?
    })
}

fn trial(bases: &Bases, graph: Option<&Graph>, file: &Path, (number, aloud): (u64, bool)) -> Result<()> {
    limits::allow_any_memory()?;
    let mutant = Mutant::new(bases, number);
    fs::write(file, &mutant.bytes)?;
    writeln!(stdout(), "{number}")?;
    let allowed = limits::memory_for(mutant.bytes.len());
    let before = limits::resident()?;
    limits::forget_peak()?;
    if graph.is_none() {
        limits::allow_memory(allowed)?;
    }
    limits::start_clock(mutant.bytes.len(), graph.is_some())?;
    let begin = Instant::now();
    let end = read(&mutant, graph, file)?;
    let micros = begin.elapsed().as_micros();
    let memory = limits::peak()?.saturating_sub(before);
    let Mutant { kind, base, bytes } = &mutant;
    if aloud {
        let said = match &end {
            End::Refused(why) => why,
            End::Taken | End::Ran => "it is sound",
        };
        writeln!(stdout(), "{kind} of {base}, {} bytes: {said}", bytes.len())?;
    }
    let end = match end {
        End::Refused(_) => "refused",
        End::Taken => "taken",
        End::Ran => "ran",
    };
    writeln!(stdout(), "{number} {kind} {end} {micros} {memory}")?;
    ensure!(memory <= allowed, "it took {memory} bytes of memory, expected at most {allowed}");
    Ok(())
}

fn read(mutant: &Mutant, graph: Option<&Graph>, file: &Path) -> Result<End> {
    let end = match mutant.kind.format() {
        None => match ModelConfig::parse(&mutant.bytes) {
            Ok(config) => {
                ensure!(!config.postprocessing.classes().is_empty(), "it became a config without labels");
                End::Taken
            }
            Err(problems) => End::Refused(problems.join("; ")),
        },
        Some(format) => match (keras::open(file, format), graph) {
            (Ok(model), None) => {
                check(&model)?;
                End::Taken
            }
            (Ok(model), Some(graph)) => match graph.run(&mutant.base, model) {
                Ok(()) => End::Ran,
                Err(why) => End::Refused(why),
            },
            (Err(error), _) => End::Refused(error.to_string()),
        },
    };
    if let End::Refused(why) = &end {
        ensure!(!why.is_empty(), "it was refused without a word");
    }
    Ok(end)
}

/// An accepted model must be consistent.
fn check(model: &Model) -> Result<()> {
    ensure!(!model.outputs.is_empty(), "it became a model without outputs");
    let last = model.nodes.len();
    for (index, node) in model.nodes.iter().enumerate() {
        let first = node.inputs.iter().all(|input| *input < index);
        ensure!(first, "`{}` comes before what it reads", node.name);
    }
    let all = model.outputs.iter().chain([&model.input]);
    model.nodes.get(model.input).context("it became a model without an input")?;
    ensure!(all.into_iter().all(|index| *index < last), "it became a model whose ends do not exist");
    Ok(())
}
