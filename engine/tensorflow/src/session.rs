//! Runs a graph.

use std::time::{Duration, Instant};

use tensorflow::{Graph, Output, Session, SessionRunArgs, Tensor};

use super::cores::Cores;
use super::graph::BuiltGraph;
use super::inputs::Inputs;
use super::library::{IMAGES_A_CORE, Library, RUNS_ON_A_GPU};
use super::memory;
use super::opening::{assign, failed, open, open_for};
use super::run_sizes::RunSizes;
use super::threads::Threads;
use engine::{Batch, Calls, Device, Engine, EngineError, Pixels, Scores};

/// Most images in one run on a CPU: what an operation leaves for the next one then stays in the
/// processor's cache, and takes less memory. MobileNetV2 loses a third of its speed at 32 images a run
/// against 2, a tenth at 4; of ResNet50 2 are as quick as 8.
const MAX_RUN: usize = IMAGES_A_CORE;

/// An image that is alone runs over all cores only where that takes less than this part of the time on one core: less
/// than is won by chance.
const WORTH_ALL_CORES: f64 = 0.85;

/// How often one image is tried on one core and on all: as often as the time allows.
const FEWEST_TRIALS: usize = 3;
const MOST_TRIALS: usize = 10;
const TRIAL_TIME: Duration = Duration::from_millis(100);

/// An image that takes this long is tried once: chance has a small part in it.
const LONG: Duration = Duration::from_millis(500);

/// How often both are measured before all cores are given up.
const MOST_ROUNDS: usize = 3;

/// A model that is ready to compute.
///
/// On a CPU a run stays on one thread, and as many runs go side by side as there are cores: that gives
/// more images a second than sharing each operation among the cores, which then wait for one another
/// between operations. A large batch that finds cores idle is cut and its parts run side by side. An image that is
/// alone shares its operations among all cores, where that was measured to be quicker. That takes a session of its own,
/// but the weights are there once: both sessions' variables share them.
///
/// On a GPU a batch is one run, filled up to one of a few sizes, and images go there as levels.
pub struct TensorflowEngine {
    narrow: Fetch,
    /// Shares each operation among all cores.
    wide: Option<Fetch>,
    inputs: Inputs,
    /// Sizes of an image.
    image: [usize; 3],
    /// Outputs for an image.
    classes: usize,
    device: Device,
    calls: Calls,
    sizes: RunSizes,
    cores: Cores,
    threads: Threads,
    /// What part of its time on one core an image takes on all.
    share_on_all_cores: f64,
    // After the session, which computes with it.
    _graph: Graph,
    // After both: fields are dropped in this order.
    _memory: memory::GiveBack,
}

/// A session that has all it needs to run its graph.
pub(super) struct Computation {
    pub(super) narrow: Fetch,
    /// Another one for the same graph, which shares each operation among all cores.
    pub(super) wide: Option<Fetch>,
    pub(super) graph: Graph,
    /// Take `[batch, height, width, channels]`.
    pub(super) inputs: Inputs,
}

/// A session, and what it is asked for.
pub(super) struct Fetch {
    pub(super) session: Session,
    /// Gives float32.
    pub(super) scores: Output,
}

/// When an engine has a session for runs over all cores, which takes as much memory as the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// Wherever there are several cores.
    Always,
    /// Where it was measured to be quicker for one image.
    IfQuicker,
}

/// How a run uses the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// It stays on the calling thread.
    OneCore,
    /// Each operation is shared among all cores.
    AllCores,
}

impl TensorflowEngine {
    /// Opens a session on a model's graph and runs it once, so that TensorFlow optimizes it now.
    ///
    /// # Errors
    /// What is wrong with the model, or TensorFlow's words.
    pub(super) fn new(
        library: &Library,
        built: BuiltGraph,
        image: [usize; 3],
        classes: usize,
        kept: Wide,
    ) -> Result<Self, EngineError> {
        let BuiltGraph { graph, inputs, scores, scores_over_all_cores, variables, .. } = built;
        let narrow = Fetch { session: open(&graph).map_err(failed)?, scores };
        let wide = match library.device {
            Device::Cpu if library.cores > 1 => {
                let session = open_for(&graph, library.cores).map_err(failed)?;
                Some(Fetch { session, scores: scores_over_all_cores })
            }
            Device::Cpu | Device::Gpu(_) => None,
        };
        let mut sessions = vec![(&narrow.session, Spread::OneCore)];
        sessions.extend(wide.as_ref().map(|wide| (&wide.session, Spread::AllCores)));
        assign(&sessions, variables)?;
        let computation = Computation { narrow, wide, graph, inputs };
        Self::over(library, computation, image, classes, kept)
    }

    /// Runs a session once, so that TensorFlow optimizes its graph now.
    ///
    /// # Errors
    /// What is wrong with the model, or TensorFlow's words.
    pub(super) fn over(
        library: &Library,
        computation: Computation,
        image: [usize; 3],
        classes: usize,
        kept: Wide,
    ) -> Result<Self, EngineError> {
        let Computation { narrow, wide, graph, inputs } = computation;
        let (turns, sizes) = match library.device {
            Device::Cpu => (library.cores, RunSizes::any()),
            // One run computes while the next one's images are on their way.
            Device::Gpu(_) => (RUNS_ON_A_GPU, RunSizes::few(library.max_batch_size)),
        };
        let mut engine = Self {
            narrow,
            wide,
            inputs,
            image,
            classes,
            device: library.device.clone(),
            calls: library.calls(),
            sizes,
            cores: Cores::new(turns),
            threads: Threads::get(library.cores)?,
            share_on_all_cores: f64::INFINITY,
            _graph: graph,
            _memory: memory::GiveBack,
        };
        let values: Vec<u8> = (0..=255).cycle().take(image.iter().product()).collect();
        let pixels = Pixels::Uint8 { values, divisor: 255.0 };
        let mut scores = vec![0.0; classes];
        engine.warm_up(&pixels, &mut scores)?;
        engine.try_sizes(&pixels);
        if kept == Wide::IfQuicker && engine.share_on_all_cores >= WORTH_ALL_CORES {
            engine.wide = None;
        }
        memory::give_back();
        // What of all that is needed to compute is fetched again now, and not by the first request.
        engine.run((&pixels, 0), &mut scores, Spread::OneCore)?;
        if engine.is_wide() {
            engine.run((&pixels, 0), &mut scores, Spread::AllCores)?;
        }
        Ok(engine)
    }

    fn warm_up(&mut self, pixels: &Pixels, scores: &mut [f32]) -> Result<(), EngineError> {
        self.run((pixels, 0), scores, Spread::OneCore)?;
        if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
            return Err(EngineError(format!(
                "the warm-up run gave the score {score}, expected finite numbers: the model's weights are damaged"
            )));
        }
        if self.wide.is_some() {
            // The second session's needs do not come on top of the first one's.
            memory::give_back();
            self.share_on_all_cores = self.measure_all_cores(pixels, scores)?;
        }
        Ok(())
    }

    /// Runs each larger size that a run can have, filled with one image, and keeps those that work: one image did already, so
    /// what stops a larger run is the device's memory.
    fn try_sizes(&mut self, pixels: &Pixels) {
        let (mut batch, mut works) = (pixels.clone(), 1);
        for images in self.sizes.all().iter().skip(1) {
            (works..*images).for_each(|_| batch.extend(pixels));
            let (began, mut scores) = (Instant::now(), vec![0.0; images * self.classes]);
            if let Err(error) = self.run((&batch, 0), &mut scores, Spread::OneCore) {
                tracing::warn!(%error, "{images} images at a time are too many here, {works} is the most");
                self.sizes = self.sizes.up_to(works);
                return;
            }
            works = *images;
            tracing::debug!(images, time = ?began.elapsed(), "tried a size of runs");
        }
    }

    /// What part of its time on one core an image takes on all. Large operations gain from more cores; small
    /// ones lose more by waiting for each other than they gain.
    fn measure_all_cores(&self, pixels: &Pixels, scores: &mut [f32]) -> Result<f64, EngineError> {
        let (mut one, mut all, mut share) = (Duration::MAX, Duration::MAX, f64::INFINITY);
        for _ in 0..MOST_ROUNDS {
            one = one.min(self.quickest(pixels, scores, Spread::OneCore)?);
            // In this order, since threads that share operations look for more of them for a while. The first run
            // starts them.
            self.run((pixels, 0), scores, Spread::AllCores)?;
            all = all.min(self.quickest(pixels, scores, Spread::AllCores)?);
            share = all.as_secs_f64() / one.as_secs_f64().max(f64::MIN_POSITIVE);
            // All cores are free at a time more seldom than one is: what speaks against them may be chance.
            if share < WORTH_ALL_CORES {
                break;
            }
        }
        tracing::debug!(?one, ?all, "measured one image on one core and on all");
        Ok(share)
    }

    /// The shortest of some runs: what else the machine does only adds to them.
    fn quickest(&self, pixels: &Pixels, scores: &mut [f32], spread: Spread) -> Result<Duration, EngineError> {
        let (begin, mut best) = (Instant::now(), Duration::MAX);
        for round in 0..MOST_TRIALS {
            let (spent, fewest) = (begin.elapsed(), if best < LONG { FEWEST_TRIALS } else { 1 });
            if round >= fewest && spent > TRIAL_TIME {
                break;
            }
            let run_began = Instant::now();
            self.run((pixels, 0), scores, spread)?;
            best = best.min(run_began.elapsed());
        }
        Ok(best)
    }

    /// Height, width and channels of the images that it takes.
    #[must_use]
    pub fn image(&self) -> [usize; 3] {
        self.image
    }

    /// Whether runs over all cores differ from those on one.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// Computes one run as it comes, neither cut nor queued behind others: the bare speed of the library.
    ///
    /// # Errors
    /// As [`Engine::predict`].
    pub fn run_bare(&self, batch: &Batch, spread: Spread) -> Result<Scores, EngineError> {
        self.check(batch)?;
        let mut values = vec![0.0; batch.images * self.classes];
        self.run((&batch.pixels, 0), &mut values, spread)?;
        Ok(Scores { classes: self.classes, values })
    }

    fn check(&self, batch: &Batch) -> Result<(), EngineError> {
        if batch.shape != self.image {
            return Err(EngineError(format!(
                "the images have shape {:?}, the model takes {:?}",
                batch.shape, self.image
            )));
        }
        let expected = batch.images * self.image.iter().product::<usize>();
        if batch.images == 0 || batch.pixels.len() != expected {
            return Err(EngineError(format!(
                "a batch of {} images has {} values, expected {expected} for at least 1 image",
                batch.images,
                batch.pixels.len()
            )));
        }
        Ok(())
    }

    /// Cuts a batch into runs, which this thread and others take in turns.
    fn side_by_side(&self, pixels: &Pixels, values: &mut [f32], threads: usize) -> Result<(), EngineError> {
        let images = values.len() / self.classes;
        let run = images_of_a_run(images, threads);
        let runs = values.chunks_mut(run * self.classes).enumerate();
        let runs = std::sync::Mutex::new(runs.map(|(index, values)| (index * run, values)));
        let work = || -> Result<(), EngineError> {
            loop {
                let next = runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                let Some((first, values)) = next else { return Ok(()) };
                self.run((pixels, first), values, Spread::OneCore)?;
            }
        };
        self.threads.side_by_side(threads, work)
    }

    /// Computes the scores of some images in one run: of as many as there are places for, from the given one on.
    fn run(&self, images: (&Pixels, usize), values: &mut [f32], spread: Spread) -> Result<(), EngineError> {
        match (&self.wide, spread) {
            (Some(wide), Spread::AllCores) => {
                self.threads.over_all_cores(|| self.run_in(wide, images, values))
            }
            (Some(_), Spread::OneCore) | (None, _) => self.run_in(&self.narrow, images, values),
        }
    }

    fn run_in(
        &self,
        Fetch { session, scores }: &Fetch,
        (pixels, first): (&Pixels, usize),
        values: &mut [f32],
    ) -> Result<(), EngineError> {
        let [height, width, channels] = self.image.map(|size| size as u64);
        let images = values.len() / self.classes;
        let room = self.sizes.room_for(images);
        let size = self.image.iter().product::<usize>();
        let range = first * size..(first + images) * size;
        let input = self.inputs.images(pixels, range, [room as u64, height, width, channels]);
        let mut arguments = SessionRunArgs::new();
        self.inputs.feed(&input, &mut arguments);
        let token = arguments.request_fetch(&scores.operation, scores.index);
        session.run(&mut arguments).map_err(failed)?;
        let output: Tensor<f32> = arguments.fetch(token).map_err(failed)?;
        if output.len() != room * self.classes {
            return Err(EngineError(format!(
                "the model gave {} scores for {room} images, expected {}",
                output.len(),
                room * self.classes
            )));
        }
        values.copy_from_slice(&output[..values.len()]);
        Ok(())
    }
}

impl Engine for TensorflowEngine {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        self.check(batch)?;
        let mut values = vec![0.0; batch.images * self.classes];
        let lone = (batch.alone && self.share_on_all_cores < WORTH_ALL_CORES)
            .then(|| self.cores.take_all_if_idle())
            .flatten();
        match (&self.device, lone) {
            (Device::Cpu, Some(_all)) => self.run((&batch.pixels, 0), &mut values, Spread::AllCores)?,
            (Device::Cpu, None) => {
                // What is small is not cut: others wait to be computed beside it, or would be here too.
                let share = self.cores.take(batch.images.div_ceil(MAX_RUN));
                self.side_by_side(&batch.pixels, &mut values, share.count())?;
            }
            (Device::Gpu(_), _) => {
                let most = self.sizes.largest().min(batch.images);
                for (run, values) in values.chunks_mut(most * self.classes).enumerate() {
                    let _turn = self.cores.take(1);
                    self.run((&batch.pixels, run * most), values, Spread::OneCore)?;
                }
            }
        }
        Ok(Scores { classes: self.classes, values })
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn calls(&self) -> Calls {
        self.calls
    }
}

/// As few runs as [`MAX_RUN`] allows, as many for each thread as for the others, about equally large.
fn images_of_a_run(images: usize, threads: usize) -> usize {
    let runs = images.div_ceil(MAX_RUN).next_multiple_of(threads);
    images.div_ceil(runs).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_even_and_small() {
        let cases =
            [(1, 1, 1), (1, 2, 1), (8, 1, 2), (8, 2, 2), (9, 2, 2), (17, 2, 2), (3, 2, 2), (33, 1, 2)];
        for (images, threads, expected) in cases {
            assert_eq!(images_of_a_run(images, threads), expected, "{images} images on {threads} threads");
        }
    }
}
