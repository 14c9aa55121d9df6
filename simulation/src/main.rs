//! Runs seeds of the simulated world: `simulate --seeds 1000`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::options::Options;
use simulation::plan::Plan;
use simulation::promises::Counts;
use simulation::run;

/// Runs seeds of a simulated fleet and tells which of them break a promise.
#[derive(Debug, Parser)]
struct Words {
    /// Run only this seed, and print all its events.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// Number of seeds.
    #[arg(long, env = "SEEDS", default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Number of threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// The results of all seeds so far.
#[derive(Default)]
struct Sum {
    done: u64,
    found: Vec<u64>,
    counts: Counts,
    healed: Vec<Duration>,
    faults: BTreeMap<&'static str, u64>,
}

fn main() -> ExitCode {
    let words = Words::parse();
    match words.seed {
        Some(seed) => one(seed),
        None => many(&words),
    }
}

fn one(seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    let outcome = run::plan(&plan, Options::default(), true);
    let mut text = outcome.lines.join("\n") + "\n";
    let sound = outcome.is_sound();
    text +=
        &if sound { "every promise was kept\n".to_owned() } else { run::report(&plan, Options::default()) };
    tell(&text);
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(words: &Words) -> ExitCode {
    let (next, sum, began) = (AtomicU64::new(words.first), Mutex::<Sum>::default(), Instant::now());
    let last = words.first + words.seeds;
    std::thread::scope(|scope| {
        for _ in 0..words.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    let outcome = run::seed(seed, Options::default());
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.add(seed, &outcome);
                    if sum.done.is_multiple_of((words.seeds / 20).max(1)) {
                        tell(&format!("{} seeds, {} found\n", sum.done, sum.found.len()));
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Counts { jobs, images, commits, refusals } = sum.counts;
    let seconds = began.elapsed().as_secs_f64();
    let (longest, count) = (sum.healed.iter().max(), sum.healed.len().max(1));
    let mean = sum.healed.iter().sum::<Duration>() / u32::try_from(count).unwrap_or(u32::MAX);
    tell(&format!(
        "{} seeds in {seconds:.0} s: {jobs} jobs, {images} images, {commits} swaps, {refusals} refusals; \
         healed after {mean:?} on the average, {longest:?} at most; broke a promise: {:?}\n",
        sum.done, sum.found
    ));
    let faults: Vec<String> = sum.faults.iter().map(|(name, count)| format!("{count} {name}")).collect();
    tell(&format!("{}\n", faults.join(", ")));
    if sum.found.is_empty() {
        return ExitCode::SUCCESS;
    }
    if let Some(first) = sum.found.iter().min() {
        tell(&run::report(&Plan::of(*first), Options::default()));
    }
    ExitCode::FAILURE
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &run::RunOutcome) {
        self.done += 1;
        self.counts.jobs += outcome.counts.jobs;
        self.counts.images += outcome.counts.images;
        self.counts.commits += outcome.counts.commits;
        self.counts.refusals += outcome.counts.refusals;
        self.healed.extend(outcome.healed);
        for fault in Plan::of(seed).faults {
            *self.faults.entry(fault.kind.name()).or_default() += 1;
        }
        if !outcome.is_sound() {
            tell(&format!("seed {seed}: {}\n", outcome.violations[0]));
            self.found.push(seed);
        }
    }
}

fn tell(text: &str) {
    // A closed stdout is ignored.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
