//! A `classifier-worker` with a fragile engine, for tests of crashing and slow workers. It has the settings of
//! `classifier-worker`, and from the environment:
//!
//! - `FRAGILE_DIES_WHILE`: while this file exists, an image that is all white ends the process;
//! - `FRAGILE_LOAD_DELAY_MS`: loading any model takes this much longer;
//! - `FRAGILE_IMAGE_DELAY_MS`: each image takes the model this much longer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use common::package::{Catalog, Package};
use common::program::{connect, stop_on_signals};
use common::telemetry;
use engine::{Batch, Calls, Device, Engine, EngineError, EngineLoader, LoadError, Scores};
use worker::config::Program;
use worker::run::{Parts, run};

#[derive(Clone)]
struct Fragility {
    dies_while: Option<PathBuf>,
    load_delay: Duration,
    image_delay: Duration,
}

struct FragileLoader {
    sound: Arc<dyn EngineLoader>,
    fragility: Fragility,
}

struct FragileEngine {
    sound: Arc<dyn Engine>,
    fragility: Fragility,
}

impl EngineLoader for FragileLoader {
    fn load(&self, package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        std::thread::sleep(self.fragility.load_delay);
        let sound = self.sound.load(package)?;
        Ok(Arc::new(FragileEngine { sound, fragility: self.fragility.clone() }))
    }
}

impl Engine for FragileEngine {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        let [height, width, channels] = batch.shape;
        let white = |image: &[f32]| image.iter().all(|value| *value >= 1.0);
        let deadly = batch.pixels.values().chunks(height * width * channels).any(white);
        if deadly && self.fragility.dies_while.as_ref().is_some_and(|file| file.exists()) {
            std::process::abort();
        }
        std::thread::sleep(self.fragility.image_delay * u32::try_from(batch.images).unwrap_or(u32::MAX));
        self.sound.predict(batch)
    }

    fn device(&self) -> &Device {
        self.sound.device()
    }

    fn calls(&self) -> Calls {
        self.sound.calls()
    }
}

fn milliseconds(variable: &str) -> anyhow::Result<Duration> {
    match std::env::var(variable) {
        Ok(text) => {
            let milliseconds: f64 = text.parse().with_context(|| variable.to_owned())?;
            Duration::try_from_secs_f64(milliseconds / 1e3).with_context(|| variable.to_owned())
        }
        Err(_) => Ok(Duration::ZERO),
    }
}

fn main() -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let program = Program::parse();
    let fragility = Fragility {
        dies_while: std::env::var_os("FRAGILE_DIES_WHILE").map(PathBuf::from),
        load_delay: milliseconds("FRAGILE_LOAD_DELAY_MS")?,
        image_delay: milliseconds("FRAGILE_IMAGE_DELAY_MS")?,
    };
    let sound = worker::engines::loader(&program.worker.tensorflow(program.log.log_format))?;
    telemetry::init(&program.log)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let (broker, store) = connect(&program.fleet)?;
        let catalog = Catalog::new(program.models.models_dir);
        let parts = Parts { broker, store, catalog, loader: Arc::new(FragileLoader { sound, fragility }) };
        run(program.worker, parts, stop).await?;
        Ok(())
    })
}
