//! What a run is given: a batch's images, as the model's numbers or as levels.

use std::ops::Range;

use tensorflow::{Output, SessionRunArgs, Tensor};

use super::ops::{LEVELS, Levels};
use engine::Pixels;

/// Where a graph takes its images.
pub(super) struct Inputs {
    /// The model's numbers.
    pub(super) numbers: Output,
    /// The same as levels, where the graph was built for that.
    pub(super) levels: Option<Levels>,
}

/// The images of one run, in memory of TensorFlow's.
pub(super) enum Images {
    Numbers(Tensor<f32>),
    Levels { levels: Tensor<u8>, table: Tensor<f32> },
}

impl Inputs {
    /// Some of the values, in a tensor of these sizes. What it has more room for is zero.
    pub(super) fn images(&self, pixels: &Pixels, range: Range<usize>, sizes: [u64; 4]) -> Images {
        match (pixels, &self.levels) {
            (Pixels::Uint8 { values, divisor }, Some(_)) => {
                let mut tensor = Tensor::<u8>::new(&sizes);
                tensor[..range.len()].copy_from_slice(&values[range]);
                let mut table = Tensor::<f32>::new(&[LEVELS]);
                table.copy_from_slice(&Pixels::quotients(*divisor));
                Images::Levels { levels: tensor, table }
            }
            _ => {
                let mut tensor = Tensor::<f32>::new(&sizes);
                let filled = range.len();
                pixels.write(range, &mut tensor[..filled]);
                Images::Numbers(tensor)
            }
        }
    }

    /// Gives them to a run.
    pub(super) fn feed<'a>(&'a self, images: &'a Images, arguments: &mut SessionRunArgs<'a>) {
        match (images, &self.levels) {
            (Images::Levels { levels, table }, Some(places)) => {
                arguments.add_feed(&places.levels.operation, places.levels.index, levels);
                arguments.add_feed(&places.table.operation, places.table.index, table);
            }
            (Images::Numbers(tensor), _) => {
                arguments.add_feed(&self.numbers.operation, self.numbers.index, tensor);
            }
            (Images::Levels { .. }, None) => unreachable!("levels are made for a graph that takes them"),
        }
    }
}
