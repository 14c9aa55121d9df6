//! Measures whether a convolution is quicker in Winograd tiles. That depends on the processor's instructions, on its caches and on
//! the sizes, and no rule of thumb predicts it. A process measures it once for each geometry.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tensorflow::{Output, Session, SessionRunArgs, Tensor};

use super::library::{IMAGES_A_CORE, Library};
use super::opening::{self, failed};
use super::ops::fused::Fused;
use super::ops::tiles::Geometry;
use super::ops::{Fault, Finished, Ops};
use super::spread::Spread;
use super::target::Target;
use super::winograd::Tile;
use engine::EngineError;

/// Tiles are used if they take less than this part of the time of the direct convolution.
const WORTH_IT: f64 = 0.95;

/// How often each is run, as the time allows.
const FEWEST_ROUNDS: usize = 3;
const MOST_ROUNDS: usize = 10;
const TRIAL_TIME: Duration = Duration::from_millis(40);

/// A convolution that takes this long is not tried: the trials would delay the loading of the model.
const TOO_LONG: Duration = Duration::from_millis(500);

/// Returns whether the convolution is quicker in these tiles.
pub(super) fn is_quicker(library: &Library, fused: &Fused<'_>, tiles: (Tile, Geometry)) -> bool {
    static KNOWN: Mutex<Option<HashMap<Geometry, bool>>> = Mutex::new(None);
    // Held during the trial: two trials at a time would disturb each other.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    *known.entry(tiles.1).or_insert_with(|| {
        measure(library, fused, tiles).unwrap_or_else(|EngineError(error)| {
            tracing::debug!(?tiles, error, "a trial of tiles failed, none are used");
            false
        })
    })
}

fn measure(library: &Library, fused: &Fused<'_>, tiles: (Tile, Geometry)) -> Result<bool, EngineError> {
    let trial = Trial::new(library, fused, tiles)?;
    if trial.run(&trial.direct)? > TOO_LONG {
        return Ok(false);
    }
    trial.run(&trial.tiled)?;
    let (mut direct, mut tiled) = (Duration::MAX, Duration::MAX);
    let began = Instant::now();
    for round in 0..MOST_ROUNDS {
        if round >= FEWEST_ROUNDS && began.elapsed() > TRIAL_TIME {
            break;
        }
        // Alternating, so that other load on the machine affects both alike.
        direct = trial.run(&trial.direct)?.min(direct);
        tiled = trial.run(&trial.tiled)?.min(tiled);
    }
    tracing::debug!(?tiles, ?direct, ?tiled, "tried a convolution in tiles");
    Ok(tiled.as_secs_f64() < WORTH_IT * direct.as_secs_f64())
}

/// A session that computes one convolution in two ways.
struct Trial {
    session: Session,
    images: Tensor<f32>,
    input: Output,
    direct: Output,
    tiled: Output,
}

impl Trial {
    fn new(library: &Library, fused: &Fused<'_>, tiles: (Tile, Geometry)) -> Result<Self, EngineError> {
        let faulty = |Fault(fault)| EngineError(fault);
        let [height, width, channels] = tiles.1.image;
        let mut ops = Ops::new(Target::of(library), usize::MAX);
        ops.begin(0, "trial", 1);
        let input = ops.image(tiles.1.image).map_err(faulty)?;
        let alone = Fused { addend: None, fused_ops: &["BiasAdd"], ..*fused };
        let direct = ops.fused(&alone, &input).map_err(faulty)?;
        let tiled = ops.fused_in_tiles(&alone, tiles, &input).map_err(faulty)?;
        let Finished { graph, variables, .. } = ops.finish();
        let session = opening::open(&graph).map_err(failed)?;
        opening::assign(&[(&session, Spread::OneCore)], variables)?;
        let sizes = [IMAGES_A_CORE, height, width, channels].map(|size| size as u64);
        let mut images = Tensor::<f32>::new(&sizes);
        images.fill(1.0);
        Ok(Self { session, images, input, direct, tiled })
    }

    /// Runs one output and returns how long that took.
    fn run(&self, output: &Output) -> Result<Duration, EngineError> {
        let began = Instant::now();
        let mut arguments = SessionRunArgs::new();
        arguments.add_feed(&self.input.operation, self.input.index, &self.images);
        arguments.add_target(&output.operation);
        self.session.run(&mut arguments).map_err(failed)?;
        Ok(began.elapsed())
    }
}
