//! Layers over steps, `[batch, steps, channels]`, are those over images of one row.

use crate::Tensor;
use crate::layers::{Edges, Layer};

/// Numbers for height and width from those for a layer's own axes: one row where it has only steps.
pub(super) fn for_image<const AXES: usize>(numbers: [usize; AXES], of_one_row: usize) -> [usize; 2] {
    match numbers[..] {
        [vertical, horizontal] => [vertical, horizontal],
        [horizontal] => [of_one_row, horizontal],
        _ => [of_one_row; 2],
    }
}

/// A kernel for images from one for a layer's own axes.
pub(super) fn kernel<const AXES: usize>(kernel: Tensor) -> Tensor {
    let Tensor { mut shape, values } = kernel;
    if AXES == 1 {
        shape.insert(0, 1);
    }
    Tensor { shape, values }
}

/// The layer over a layer's own axes from the one over images.
pub(super) fn layer<const AXES: usize>(layer: Layer) -> Layer {
    if AXES == 1 { Layer::OverSequence(Box::new(layer)) } else { layer }
}

/// The layer with zeros before the first step.
pub(super) fn after_zeros(zeros: usize, layer: Layer) -> Layer {
    let edges = Edges { top: 0, bottom: 0, left: zeros, right: 0 };
    Layer::Sequential(vec![Layer::ZeroPadding2d(edges), layer])
}
