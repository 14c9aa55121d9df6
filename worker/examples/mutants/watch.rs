//! Starts the processes that try the mutants, and notes which mutants end them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _, stdout};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};

/// Mutants per process.
const IN_ONE_PROCESS: u64 = 1_000;

/// Findings after which it stops.
const ENOUGH: usize = 50;

/// All results.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<String, BTreeMap<String, usize>>,
    slowest: Extreme,
    largest: Extreme,
    findings: Vec<String>,
}

/// The largest number of a kind, and its mutant.
#[derive(Default)]
struct Extreme {
    value: u64,
    mutant: u64,
}

/// Tries the mutants of a range, and prints the results. Fails if there are findings.
pub(crate) fn run(range: Range<u64>, graph: Option<&Path>) -> Result<ExitCode> {
    let tally = Mutex::new(Tally::default());
    let chunks = Mutex::new(range.clone().step_by(usize::try_from(IN_ONE_PROCESS)?));
    let work = || -> Result<()> {
        loop {
            let first = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(first) = first else { return Ok(()) };
            let end = range.end.min(first + IN_ONE_PROCESS);
            let mut next = first;
            while next < end {
                next = tried(next..end, graph, &tally)?;
            }
        }
    };
    let threads = engine::cores();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread that watches a process panicked"),
        })
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.print(graph)?;
    Ok(if tally.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries mutants in a process until one ends it. Returns the first that is not tried yet.
fn tried(range: Range<u64>, graph: Option<&Path>, tally: &Mutex<Tally>) -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--child").args(["--first", &range.start.to_string()]);
    command.args(["--count", &(range.end - range.start).to_string()]);
    if let Some(folder) = graph {
        command.arg("--graph").arg(folder);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("the program cannot be started again")?;
    let output = child.stdout.take().context("the output is piped")?;
    let mut begun = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [number] => begun = Some(number.parse::<u64>()?),
            [number, kind, end, micros, memory] => {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                *tally.kinds.entry(kind.to_owned()).or_default().entry(end.to_owned()).or_default() += 1;
                let mutant = number.parse()?;
                tally.slowest.grow(micros.parse()?, mutant);
                tally.largest.grow(memory.parse()?, mutant);
            }
            _ => bail!("the process that tries mutants said {line:?}"),
        }
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(range.end);
    }
    let Some(number) = begun else { bail!("the process that tries mutants did not start: {status}") };
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.findings.push(format!("mutant {number}: {}", in_words(status)));
    if tally.findings.len() >= ENOUGH {
        tally.print(graph)?;
        bail!("{ENOUGH} mutants did harm, the rest is not tried");
    }
    Ok(number + 1)
}

fn in_words(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGPROF) => "it took more processor time than its size allows".to_owned(),
        Some(libc::SIGALRM) => "its reader waits for something".to_owned(),
        Some(libc::SIGABRT) => "it aborted its process, by a lack of memory or of stack".to_owned(),
        Some(signal) => format!("it ended its process with signal {signal}"),
        None => format!("it panicked or broke a limit, {status}"),
    }
}

impl Extreme {
    fn grow(&mut self, value: u64, mutant: u64) {
        if value >= self.value {
            *self = Self { value, mutant };
        }
    }
}

impl Tally {
    fn print(&self, graph: Option<&Path>) -> Result<()> {
        let mut out = stdout().lock();
        let mut all = 0;
        for (kind, ends) in &self.kinds {
            let words: Vec<String> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
            all += ends.values().sum::<usize>();
            writeln!(out, "{kind:15} {}", words.join(", "))?;
        }
        let Self { slowest, largest, findings, .. } = self;
        writeln!(out, "{all} mutants, {} did harm", findings.len())?;
        writeln!(out, "slowest: {} ms on the clock, mutant {}", slowest.value / 1_000, slowest.mutant)?;
        writeln!(out, "most memory: {} MB, mutant {}", largest.value >> 20, largest.mutant)?;
        let graph = graph.map(|folder| format!(" --graph {}", folder.display())).unwrap_or_default();
        for finding in findings {
            writeln!(out, "{finding}; try `mutants{graph} --replay NUMBER`")?;
        }
        Ok(())
    }
}
