//! Measures TensorFlow's bare run of prepared batches: the upper limit for a server of the model.
//!
//! ```text
//! echo '8 2 one 5' | cargo run --release --example raw_limit -- MODEL.hdf5 [SIDE] [bfloat16|direct]
//! ```
//!
//! Each line of standard input is one measurement: images per batch, concurrent callers, whether each run uses `one`
//! core or `all`, and seconds. Each gives a line of JSON. SIDE is the image's height and width if the model leaves them
//! open. If the line ends in `levels`, the batch is uint8, as from decoded images.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use common::package::ModelFormat;
use engine::{Batch, EngineError, Pixels};
use keras::layers::Layer;
use tensorflow_engine::{Settings, Spread, TensorflowEngine, Winograd};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else { bail!("expected MODEL.hdf5 [SIDE] [bfloat16|direct]") };
    let side = arguments.get(1).map_or(Ok(224), |text| text.parse().with_context(|| text.clone()))?;
    let folder = std::env::var_os("TENSORFLOW_DIR").map(PathBuf::from);
    let mut library = tensorflow_engine::open(&Settings { folder, ..Settings::default() })?;
    match arguments.get(2).map(String::as_str) {
        None => {}
        Some("bfloat16") => {
            library.convolutions = library.bfloat16.context("this machine does not compute in bfloat16")?;
        }
        Some("direct") => library.winograd = Winograd::Never,
        Some(other) => bail!("`{other}`: expected bfloat16, direct or nothing"),
    }
    let begin = Instant::now();
    let model = keras::open(Path::new(path), ModelFormat::Hdf5)?;
    let shape = image_of(&model, side)?;
    let read = begin.elapsed();
    let engine = worker::engines::engine(&library, model, shape)?;
    say(&serde_json::json!({
        "tensorflow": library.version,
        "cores": library.cores,
        "read_ms": milliseconds(read),
        "ready_ms": milliseconds(begin.elapsed()),
    }))?;
    for line in std::io::stdin().lock().lines() {
        let wish = Wish::parse(&line?)?;
        say(&wish.measure(&engine, shape)?)?;
    }
    Ok(())
}

fn image_of(model: &keras::Model, side: usize) -> anyhow::Result<[usize; 3]> {
    let Some(Layer::Input { shape }) = model.nodes.get(model.input).map(|node| &node.layer) else {
        bail!("the model has no input");
    };
    let sizes: Vec<usize> = shape.iter().map(|size| size.unwrap_or(side)).collect();
    <[usize; 3]>::try_from(sizes).ok().context("the model takes no images")
}

/// One line of the input.
struct Wish {
    images: usize,
    callers: usize,
    spread: Spread,
    limit: Duration,
    is_uint8: bool,
}

impl Wish {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (is_uint8, words) = match &words[..] {
            [words @ .., "levels"] => (true, words),
            words => (false, words),
        };
        let [images, callers, spread, seconds] = *words else {
            bail!("`{line}`: expected IMAGES CALLERS one|all SECONDS [levels]");
        };
        let spread = match spread {
            "one" => Spread::OneCore,
            "all" => Spread::AllCores,
            other => bail!("`{other}`: expected `one` or `all`"),
        };
        let limit = Duration::from_secs_f64(seconds.parse()?);
        Ok(Self { images: images.parse()?, callers: callers.parse()?, spread, limit, is_uint8 })
    }

    fn measure(&self, engine: &TensorflowEngine, shape: [usize; 3]) -> anyhow::Result<serde_json::Value> {
        let values = self.images * shape.iter().product::<usize>();
        let uint8 = Pixels::Uint8 { values: (0..=255).cycle().take(values).collect(), divisor: 255.0 };
        let pixels = if self.is_uint8 { uint8 } else { Pixels::Float32(uint8.values().into_owned()) };
        let batch = Batch::new(self.images, shape, pixels);
        let run = || engine.run_bare(&batch, self.spread).map(|_| ());
        let began = Instant::now();
        run()?;
        let first = began.elapsed();
        let results: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..self.callers).map(|_| scope.spawn(|| self.times(run))).collect();
            callers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let (mut rate, mut calls) = (0.0, Vec::new());
        for result in results {
            let times = result.map_err(|_| anyhow::anyhow!("a caller panicked"))??;
            let spent: Duration = times.iter().sum();
            rate += (times.len() * self.images) as f64 / spent.as_secs_f64();
            calls.extend(times);
        }
        calls.sort_unstable();
        let quantile = |part: f64| milliseconds(calls[((calls.len() - 1) as f64 * part).round() as usize]);
        Ok(serde_json::json!({
            "images_per_second": rate,
            "p50_ms": quantile(0.5),
            "p99_ms": quantile(0.99),
            "first_ms": milliseconds(first),
            "calls": calls.len(),
        }))
    }

    /// Of one caller's consecutive runs.
    fn times(&self, run: impl Fn() -> Result<(), EngineError>) -> Result<Vec<Duration>, EngineError> {
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.is_empty() || begin.elapsed() < self.limit {
            let call_began = Instant::now();
            run()?;
            times.push(call_began.elapsed());
        }
        Ok(times)
    }
}

/// Prints a line and flushes it.
fn say(value: &serde_json::Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
