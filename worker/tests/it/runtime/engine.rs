//! A fake model that its images control: the blue channel is the label, the red one says what happens.

use std::collections::HashSet;
use std::sync::{Arc, Barrier, Condvar, Mutex};

use common::package::Package;
use engine::{Batch, Device, Engine, EngineError, EngineLoader, LoadError, Scores};
use tokio::sync::mpsc;

/// Height, width and channels of its input.
pub(crate) const SHAPE: [usize; 3] = [2, 2, 3];
/// Number of its outputs.
pub(crate) const CLASSES: usize = 16;

/// What an image makes the model do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Normal = 0,
    /// Every batch with it fails.
    Fails = 1,
    /// Every batch with it panics.
    Panics = 2,
    /// Its worker dies, every time.
    Kills = 3,
    /// Its worker dies once together with others, and once when it is tried alone.
    KillsOnce = 4,
    /// Two calls must run at once for either to end.
    Pairs = 5,
}

impl Kind {
    fn of(red: u8) -> Self {
        let kinds = [Self::Normal, Self::Fails, Self::Panics, Self::Kills, Self::KillsOnce, Self::Pairs];
        kinds[usize::from(red)]
    }
}

/// The model.
pub(crate) struct Double {
    /// Labels of each call, in order.
    pub(crate) calls: Mutex<Vec<Vec<u8>>>,
    /// Receives the labels of each call as it begins.
    entered: mpsc::UnboundedSender<Vec<u8>>,
    /// Receives a message when a worker should be killed.
    kills: mpsc::UnboundedSender<()>,
    killed: Mutex<HashSet<Vec<u8>>>,
    held: Mutex<bool>,
    released: Condvar,
    pairs: Barrier,
}

/// What a test receives from the model.
pub(crate) struct Ears {
    /// Labels of each call as it begins.
    pub(crate) entered: mpsc::UnboundedReceiver<Vec<u8>>,
    /// The worker should be killed now.
    pub(crate) kills: mpsc::UnboundedReceiver<()>,
}

impl Double {
    pub(crate) fn new() -> (Arc<Self>, Ears) {
        let (entered, hear_entered) = mpsc::unbounded_channel();
        let (kills, hear_kills) = mpsc::unbounded_channel();
        let double = Self {
            calls: Mutex::default(),
            entered,
            kills,
            killed: Mutex::default(),
            held: Mutex::new(false),
            released: Condvar::new(),
            pairs: Barrier::new(2),
        };
        (Arc::new(double), Ears { entered: hear_entered, kills: hear_kills })
    }

    /// Makes calls hang.
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    /// Lets calls end.
    pub(crate) fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }

    pub(crate) fn calls(&self) -> Vec<Vec<u8>> {
        self.calls.lock().unwrap().clone()
    }

    /// Simulates the death of the process: the test drops the worker, and this call never returns.
    fn die(&self) -> Result<Scores, EngineError> {
        self.hold();
        self.kills.send(()).unwrap();
        self.wait_while_held();
        Err(EngineError("the worker that called is dead".to_owned()))
    }

    fn wait_while_held(&self) {
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
    }
}

impl Engine for Double {
    fn predict(&self, batch: &Batch) -> Result<Scores, EngineError> {
        assert_eq!(batch.shape, SHAPE);
        // Blue, green, red.
        let images: Vec<(u8, Kind)> = batch
            .pixels
            .values()
            .chunks_exact(SHAPE.iter().product())
            .map(|image| (image[0] as u8, Kind::of(image[2] as u8)))
            .collect();
        let labels: Vec<u8> = images.iter().map(|(label, _)| *label).collect();
        self.calls.lock().unwrap().push(labels.clone());
        let _ = self.entered.send(labels.clone());
        self.wait_while_held();
        for (_, kind) in &images {
            match kind {
                Kind::Normal => {}
                Kind::Fails => return Err(EngineError("as the image says".to_owned())),
                Kind::Panics => panic!("as the image says"),
                Kind::Kills => return self.die(),
                Kind::KillsOnce if self.killed.lock().unwrap().insert(labels.clone()) => return self.die(),
                Kind::KillsOnce => {}
                Kind::Pairs => {
                    self.pairs.wait();
                }
            }
        }
        let mut values = vec![0.0; images.len() * CLASSES];
        for (index, label) in labels.iter().enumerate() {
            values[index * CLASSES + usize::from(*label)] = 1.0;
        }
        Ok(Scores { classes: CLASSES, values })
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

/// Loads it for any package.
pub(crate) struct Loader(pub(crate) Arc<Double>);

impl EngineLoader for Loader {
    fn load(&self, _package: &Package) -> Result<Arc<dyn Engine>, LoadError> {
        Ok(Arc::clone(&self.0) as Arc<dyn Engine>)
    }
}
