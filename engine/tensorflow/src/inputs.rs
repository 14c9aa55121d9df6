//! What a run is given: a batch's images, as the float32 values that the model takes or as uint8 pixel values.

use std::ops::Range;

use tensorflow::{Output, SessionRunArgs, Tensor};

use super::ops::{UINT8_VALUES, Uint8Input};
use engine::Pixels;

/// Where a graph takes its images.
pub(super) struct Inputs {
    /// Takes the values that the model takes.
    pub(super) float32: Output,
    /// Takes the same as uint8, where the graph was built for that.
    pub(super) uint8: Option<Uint8Input>,
}

/// The images of one run, in TensorFlow's memory.
pub(super) enum Images {
    Float32(Tensor<f32>),
    Uint8 { values: Tensor<u8>, table: Tensor<f32> },
}

impl Inputs {
    /// Copies a range of the pixels into a tensor of these sizes. The rest of the tensor is zero.
    pub(super) fn images(&self, pixels: &Pixels, range: Range<usize>, sizes: [u64; 4]) -> Images {
        match (pixels, &self.uint8) {
            (Pixels::Uint8 { values, divisor }, Some(_)) => {
                let mut tensor = Tensor::<u8>::new(&sizes);
                tensor[..range.len()].copy_from_slice(&values[range]);
                let mut table = Tensor::<f32>::new(&[UINT8_VALUES]);
                table.copy_from_slice(&Pixels::quotients(*divisor));
                Images::Uint8 { values: tensor, table }
            }
            _ => {
                let mut tensor = Tensor::<f32>::new(&sizes);
                let filled = range.len();
                pixels.write(range, &mut tensor[..filled]);
                Images::Float32(tensor)
            }
        }
    }

    /// Feeds the images to a run.
    pub(super) fn feed<'a>(&'a self, images: &'a Images, arguments: &mut SessionRunArgs<'a>) {
        match (images, &self.uint8) {
            (Images::Uint8 { values, table }, Some(input)) => {
                arguments.add_feed(&input.values.operation, input.values.index, values);
                arguments.add_feed(&input.table.operation, input.table.index, table);
            }
            (Images::Float32(tensor), _) => {
                arguments.add_feed(&self.float32.operation, self.float32.index, tensor);
            }
            (Images::Uint8 { .. }, None) => unreachable!("uint8 images are made for a graph that takes them"),
        }
    }
}
