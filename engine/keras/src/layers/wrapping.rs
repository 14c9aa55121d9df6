//! Layers around a layer: `TimeDistributed`, `SpectralNormalization`.

use crate::layers::Layer;
use crate::reader::Reader;
use crate::shapes::{Shape, describe, output_shape};

/// The layer applied to each position of the sequence by itself.
pub(super) fn time_distributed(reader: &mut Reader) -> Layer {
    let Some(input) = reader.input() else {
        reader.ignore(&["layer"]);
        reader.unsure();
        return Layer::Identity;
    };
    if input.len() < 2 {
        reader.fault(format!("its input has shape {}, expected [sequence, …]", describe(input)));
    }
    let position: Shape = input.iter().skip(1).copied().collect();
    Layer::TimeDistributed(Box::new(reader.wrapped(Some(position))))
}

/// Training divides the kernel by its largest singular value and stores the result, so that inference has nothing to do.
pub(super) fn spectral_normalization(reader: &mut Reader) -> Layer {
    reader.ignore(&["power_iterations"]);
    let layer = reader.wrapped(reader.input().cloned());
    let outputs = reader.input().and_then(|input| output_shape(&layer, std::slice::from_ref(input)).ok());
    reader
        .unneeded_alone(&["vector_u"], &[Some(1), outputs.and_then(|shape| shape.last().copied().flatten())]);
    layer
}
