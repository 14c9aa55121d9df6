//! Times the bare TensorFlow run of a prepared batch: what a server can reach at most.
//!
//! ```text
//! cargo run --release --example raw_limit -- MODEL.hdf5 [BATCH [SECONDS [SIDE]]]
//! ```
//!
//! SIDE is the image's height and width where the model leaves them open.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use common::package::ModelFormat;
use worker::engine::{Batch, Engine};
use worker::keras::layers::Layer;
use worker::tensorflow::{Settings, Spread, TensorflowEngine};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| {
        arguments.get(index).map_or(Ok(default), |text| text.parse().with_context(|| text.clone()))
    };
    let Some(path) = arguments.first() else { bail!("expected MODEL.hdf5 [BATCH [SECONDS [SIDE]]]") };
    let (images, seconds, side) = (number(1, 1)?, number(2, 5)?, number(3, 224)?);
    let mut out = std::io::stdout().lock();

    let begin = Instant::now();
    let library = worker::tensorflow::open(&Settings::default())?;
    writeln!(out, "TensorFlow {} opened in {:.0} ms", library.version, milliseconds(begin.elapsed()))?;

    let begin = Instant::now();
    let model = worker::keras::open(Path::new(path), ModelFormat::Hdf5)?;
    let Some(Layer::Input { shape }) = model.nodes.get(model.input).map(|node| &node.layer) else {
        bail!("the model has no input");
    };
    let sizes: Vec<usize> = shape.iter().map(|size| size.unwrap_or(side)).collect();
    let shape = <[usize; 3]>::try_from(sizes).ok().context("the model takes no images")?;
    let read = begin.elapsed();
    let engine = worker::tensorflow::engine(&library, model, shape)?;
    let total = milliseconds(begin.elapsed());
    writeln!(out, "model read in {:.0} ms, ready after {total:.0} ms", milliseconds(read))?;

    let pixels: Vec<f32> =
        (0..images * shape.iter().product::<usize>()).map(|n| (n % 256) as f32 / 255.0).collect();
    let batch = Batch { images, shape, pixels };
    let limit = Duration::from_secs(seconds as u64);
    for spread in [Spread::OneCore, Spread::AllCores] {
        let times = measure(limit, 1, || engine.run_bare(&batch, spread).map(|_| ()))?;
        report(&mut out, &format!("bare run, {spread:?}"), images, &times)?;
    }
    let times = measure(limit, 1, || engine.predict(&batch).map(|_| ()))?;
    report(&mut out, "engine, one caller", images, &times)?;
    let times = side_by_side(&engine, &batch, limit, library.cores * 2)?;
    report(&mut out, &format!("engine, {} callers", library.cores * 2), images, &times)?;
    Ok(())
}

struct Times {
    /// Of each call, ascending.
    calls: Vec<Duration>,
    /// Of all of them together.
    whole: Duration,
}

fn measure<E: std::error::Error + Send + Sync + 'static>(
    limit: Duration,
    warm_ups: usize,
    mut call: impl FnMut() -> Result<(), E>,
) -> anyhow::Result<Times> {
    for _ in 0..warm_ups {
        call()?;
    }
    let (mut calls, begin) = (Vec::new(), Instant::now());
    while calls.is_empty() || begin.elapsed() < limit {
        let call_began = Instant::now();
        call()?;
        calls.push(call_began.elapsed());
    }
    calls.sort_unstable();
    Ok(Times { calls, whole: begin.elapsed() })
}

fn side_by_side(
    engine: &TensorflowEngine,
    batch: &Batch,
    limit: Duration,
    callers: usize,
) -> anyhow::Result<Times> {
    let begin = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|_| scope.spawn(|| measure(limit, 0, || engine.predict(batch).map(|_| ()))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a caller panicked")))
            .collect()
    });
    let mut calls = Vec::new();
    for result in results {
        calls.extend(result??.calls);
    }
    calls.sort_unstable();
    Ok(Times { calls, whole: begin.elapsed() })
}

fn report(out: &mut impl Write, what: &str, images: usize, times: &Times) -> anyhow::Result<()> {
    let rate = (times.calls.len() * images) as f64 / times.whole.as_secs_f64();
    let median = milliseconds(times.calls[times.calls.len() / 2]);
    let best = milliseconds(times.calls[0]);
    writeln!(out, "{what:24} batch {images}: median {median:.2} ms, best {best:.2} ms, {rate:.1} images/s")?;
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
