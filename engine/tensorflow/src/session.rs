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
use super::spread::Spread;
use super::threads::Threads;
use engine::{Batch, Calls, Device, Engine, EngineError, Pixels, Scores};

/// Most images in one run on a CPU. The values between operations then stay in the processor's caches and take less memory.
/// MobileNetV2 is a third slower at 32 images per run than at 2, and a tenth slower at 4. ResNet50 is as quick at 2 as at 8.
const MAX_RUN: usize = IMAGES_A_CORE;

/// A single image runs over all cores only if that takes less than this part of its time on one core. The margin excludes
/// gains by chance.
const WORTH_ALL_CORES: f64 = 0.85;

/// How often one image is run on one core and on all, as the time allows.
const FEWEST_TRIALS: usize = 3;
const MOST_TRIALS: usize = 10;
const TRIAL_TIME: Duration = Duration::from_millis(100);

/// An image that takes this long is run once: noise is small compared with its time.
const LONG: Duration = Duration::from_millis(500);

/// How often both are measured before runs over all cores are given up.
const MOST_ROUNDS: usize = 3;

/// A model that is ready to compute.
///
/// On a CPU a run stays on one thread, and there are as many runs at a time as cores. That gives more images a second than
/// threads that share each operation, since these wait for each other between operations. A large batch that finds idle
/// cores is split, and its parts run in parallel. A single image runs on all cores, with each operation split among threads,
/// where that was measured to be quicker. These runs need a session of their own. The weights are in memory once, for both
/// sessions share their variables' values.
///
/// On a GPU a batch is one run, padded to one of a few sizes, and images are sent as uint8.
pub struct TensorflowEngine {
    /// For runs that stay on one core.
    one_core: Fetch,
    /// For runs that split each operation among all cores.
    all_cores: Option<Fetch>,
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
    /// The time of an image on all cores divided by its time on one.
    all_cores_ratio: f64,
    // After the session, which computes with it.
    _graph: Graph,
    // After both: fields are dropped in this order.
    _memory: memory::GiveBack,
}

/// A session that is ready to run its graph, and what a run needs.
pub(super) struct Computation {
    /// For runs that stay on one core.
    pub(super) one_core: Fetch,
    /// For runs of the same graph that split each operation among all cores.
    pub(super) all_cores: Option<Fetch>,
    pub(super) graph: Graph,
    /// Its inputs, `[batch, height, width, channels]`.
    pub(super) inputs: Inputs,
}

/// A session, and the output that it computes.
pub(super) struct Fetch {
    pub(super) session: Session,
    /// Gives float32.
    pub(super) scores: Output,
}

/// When an engine has a session for runs over all cores, which takes as much memory as the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllCoresSession {
    /// Wherever there are several cores.
    Always,
    /// Where it was measured to be quicker for one image.
    IfQuicker,
}

impl TensorflowEngine {
    /// Opens a session on a model's graph and runs it once, so that TensorFlow optimizes the graph now.
    ///
    /// # Errors
    /// What is wrong with the model, or TensorFlow's words.
    pub(super) fn new(
        library: &Library,
        built: BuiltGraph,
        image: [usize; 3],
        classes: usize,
        kept: AllCoresSession,
    ) -> Result<Self, EngineError> {
        let BuiltGraph { graph, inputs, scores, scores_over_all_cores, variables } = built;
        let one_core = Fetch { session: open(&graph).map_err(failed)?, scores };
        let all_cores = match library.device {
            Device::Cpu if library.cores > 1 => {
                let session = open_for(&graph, library.cores).map_err(failed)?;
                Some(Fetch { session, scores: scores_over_all_cores })
            }
            Device::Cpu | Device::Gpu(_) => None,
        };
        let mut sessions = vec![(&one_core.session, Spread::OneCore)];
        sessions.extend(all_cores.as_ref().map(|all_cores| (&all_cores.session, Spread::AllCores)));
        assign(&sessions, variables)?;
        let computation = Computation { one_core, all_cores, graph, inputs };
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
        kept: AllCoresSession,
    ) -> Result<Self, EngineError> {
        let Computation { one_core, all_cores, graph, inputs } = computation;
        let (turns, sizes) = match library.device {
            Device::Cpu => (library.cores, RunSizes::any()),
            // One run computes while the next one's images are on their way.
            Device::Gpu(_) => (RUNS_ON_A_GPU, RunSizes::few(library.max_batch_size)),
        };
        let mut engine = Self {
            one_core,
            all_cores,
            inputs,
            image,
            classes,
            device: library.device.clone(),
            calls: library.calls(),
            sizes,
            cores: Cores::new(turns),
            threads: Threads::get(library.cores)?,
            all_cores_ratio: f64::INFINITY,
            _graph: graph,
            _memory: memory::GiveBack,
        };
        let values: Vec<u8> = (0..=255).cycle().take(image.iter().product()).collect();
        let pixels = Pixels::Uint8 { values, divisor: 255.0 };
        let mut scores = vec![0.0; classes];
        engine.warm_up(&pixels, &mut scores)?;
        engine.try_sizes(&pixels);
        if kept == AllCoresSession::IfQuicker && engine.all_cores_ratio >= WORTH_ALL_CORES {
            engine.all_cores = None;
        }
        memory::give_back();
        // The pages that a run needs are faulted in again now, and not by the first request.
        engine.run((&pixels, 0), &mut scores, Spread::OneCore)?;
        if engine.has_all_cores_session() {
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
        if self.all_cores.is_some() {
            // So the peaks of the two sessions' memory do not add up.
            memory::give_back();
            self.all_cores_ratio = self.measure_all_cores(pixels, scores)?;
        }
        Ok(())
    }

    /// Runs each larger size of a run, filled with copies of one image, and keeps the sizes that work. A single image works
    /// already, so a larger run can only fail for lack of the device's memory.
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

    /// Measures the time of an image on all cores divided by its time on one. Large operations gain from more cores. Small
    /// ones lose more in synchronization than they gain.
    fn measure_all_cores(&self, pixels: &Pixels, scores: &mut [f32]) -> Result<f64, EngineError> {
        let (mut one, mut all, mut ratio) = (Duration::MAX, Duration::MAX, f64::INFINITY);
        for _ in 0..MOST_ROUNDS {
            one = one.min(self.quickest(pixels, scores, Spread::OneCore)?);
            // In this order, since the threads of a run over all cores spin for a while after it. The first run starts them.
            self.run((pixels, 0), scores, Spread::AllCores)?;
            all = all.min(self.quickest(pixels, scores, Spread::AllCores)?);
            ratio = all.as_secs_f64() / one.as_secs_f64().max(f64::MIN_POSITIVE);
            // All cores are idle at a time less often than one is, so a bad result for them may be chance.
            if ratio < WORTH_ALL_CORES {
                break;
            }
        }
        tracing::debug!(?one, ?all, "measured one image on one core and on all");
        Ok(ratio)
    }

    /// Returns the shortest of some runs: other load on the machine only lengthens them.
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

    /// Returns whether runs over all cores differ from those on one.
    #[must_use]
    pub fn has_all_cores_session(&self) -> bool {
        self.all_cores.is_some()
    }

    /// Computes one run, neither split nor queued behind others: the bare speed of the library.
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

    /// Splits a batch into runs, which this thread and others take one after the other.
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

    /// Computes the scores of some images in one run: of as many as `values` has room for, from the given one on.
    fn run(&self, images: (&Pixels, usize), values: &mut [f32], spread: Spread) -> Result<(), EngineError> {
        match (&self.all_cores, spread) {
            (Some(all_cores), Spread::AllCores) => {
                self.threads.over_all_cores(|| self.run_in(all_cores, images, values))
            }
            (Some(_), Spread::OneCore) | (None, _) => self.run_in(&self.one_core, images, values),
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
        let lone = (batch.alone && self.all_cores_ratio < WORTH_ALL_CORES)
            .then(|| self.cores.take_all_if_idle())
            .flatten();
        match (&self.device, lone) {
            (Device::Cpu, Some(_all)) => self.run((&batch.pixels, 0), &mut values, Spread::AllCores)?,
            (Device::Cpu, None) => {
                // A small batch is not split, which leaves cores to other batches.
                let permits = self.cores.take(batch.images.div_ceil(MAX_RUN));
                self.side_by_side(&batch.pixels, &mut values, permits.count())?;
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

/// Images per run, for as few runs as [`MAX_RUN`] allows. Each thread gets equally many runs, all about equally large.
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
