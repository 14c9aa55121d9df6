//! `AdaptiveMaxPooling2D`, `AdaptiveAveragePooling2D` and their 1D forms: pooling into a fixed number of windows.

use model::{Binary, Builder, Fault, PoolKind, Reduction, Shape, Size, Tensor, Value};

use crate::layers::{Layer, sequence};
use crate::reader::Reader;

/// Most windows per axis.
const MAX_WINDOWS: usize = 1 << 16;

/// Longest axis of an image that is pooled: its pixels are listed by window.
const MAX_LENGTH: usize = 1 << 20;

/// [`Layer::AdaptivePool2d`]: on an axis of `n` pixels the window `i` of `size` begins at `floor(i * n / size)` and
/// ends before `ceil((i + 1) * n / size)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptivePool2d {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Height and width of the output.
    pub size: [usize; 2],
}

pub(in crate::layers) fn adaptive_pooling<const AXES: usize>(reader: &mut Reader, kind: PoolKind) -> Layer {
    reader.data_format();
    let size = reader.sizes::<AXES>("output_size");
    if let Some(most) = size.into_iter().find(|size| *size > MAX_WINDOWS) {
        reader.fault(format!("`output_size` has {most}, expected at most {MAX_WINDOWS}"));
    }
    sequence::layer::<AXES>(Layer::AdaptivePool2d(AdaptivePool2d {
        kind,
        size: sequence::for_image(size, 1),
    }))
}

impl AdaptivePool2d {
    /// Pools one axis after the other: a mean of means over equally many pixels is the mean of all.
    pub(in crate::layers) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let shape = builder.shape(x).clone();
        let [height, width, _] = shape.image()?;
        let (Some(height), Some(width)) = (height.known(), width.known()) else {
            let [rows, columns] = self.size.map(Size::Known);
            return builder.unresolved(&[x], shape.with(1, rows).with(2, columns));
        };
        let mut output = x;
        for (axis, length, count) in [(1, height, self.size[0]), (2, width, self.size[1])] {
            let windows = Windows::new(length, count)?;
            output = windows.pooled(self.kind, builder, output, axis)?;
        }
        Ok(output)
    }
}

/// The pixels of an axis by window.
struct Windows {
    count: usize,
    /// Pixels of the largest window.
    longest: usize,
    /// Indices of pixels, `longest` for each window. A smaller window repeats its last pixel.
    pixels: Vec<usize>,
    /// The weight of each pixel in the mean of its window.
    weights: Vec<f32>,
}

impl Windows {
    fn new(length: usize, count: usize) -> Result<Self, Fault> {
        if length > MAX_LENGTH || length == 0 {
            return Err(Fault(format!(
                "its input has {length} pixels on an axis, expected 1 to {MAX_LENGTH}"
            )));
        }
        let bounds = |window: usize| (window * length / count, ((window + 1) * length).div_ceil(count));
        let longest = (0..count).map(bounds).map(|(begin, end)| end - begin).max().unwrap_or(1);
        let (mut pixels, mut weights) = (Vec::new(), Vec::new());
        for (begin, end) in (0..count).map(bounds) {
            for pixel in begin..begin + longest {
                pixels.push(pixel.min(end - 1));
                #[expect(clippy::cast_precision_loss, reason = "an axis has at most a million pixels")]
                weights.push(if pixel < end { 1.0 / (end - begin) as f32 } else { 0.0 });
            }
        }
        Ok(Self { count, longest, pixels, weights })
    }

    fn pooled(self, kind: PoolKind, builder: &mut Builder, x: Value, axis: usize) -> Result<Value, Fault> {
        let Self { count, longest, pixels, weights } = self;
        let listed = builder.gather(x, axis, pixels)?;
        // The pixels of a window get an axis of their own behind that of the windows.
        let mut shape: Shape = builder.shape(listed).with(axis, Size::Known(longest));
        shape.0.insert(axis, Size::Known(count));
        let behind = shape.len() - axis - 2;
        let apart = builder.reshape(listed, shape)?;
        match kind {
            PoolKind::Max => builder.reduce_dropped(Reduction::Max, apart, &[axis + 1]),
            PoolKind::Average => {
                let shape: Vec<usize> =
                    [count, longest].into_iter().chain(std::iter::repeat_n(1, behind)).collect();
                let weighted =
                    builder.with_constant(Binary::Multiply, apart, &Tensor::new(&shape, weights))?;
                builder.reduce_dropped(Reduction::Sum, weighted, &[axis + 1])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    #[test]
    fn each_axis_is_pooled_by_the_pixels_of_its_windows() {
        // Of 5 pixels in 2 windows, the windows are 0 to 2 and 2 to 4.
        check(
            &["5, 2, 3"],
            |builder, inputs| AdaptivePool2d { kind: PoolKind::Max, size: [2, 1] }.lower(builder, inputs[0]),
            "
            %0 = input() : [batch, 5, 2, 3]
            %1 = gather(%0, axis 1, [0, 1, 2, 2, 3, 4]) : [batch, 6, 2, 3]
            %2 = reshape(%1) : [batch, 2, 3, 2, 3]
            %3 = max(%2, axes [2]) : [batch, 2, 2, 3]
            %4 = gather(%3, axis 2, [0, 1]) : [batch, 2, 2, 3]
            %5 = reshape(%4) : [batch, 2, 1, 2, 3]
            %6 = max(%5, axes [3]) : [batch, 2, 1, 3]
            outputs %6
            ",
        );
        // Of 3 pixels in 2 windows, both hold the one in the middle; of 1 pixel, both hold that one.
        check(
            &["3, 1, 4"],
            |builder, inputs| {
                AdaptivePool2d { kind: PoolKind::Average, size: [2, 2] }.lower(builder, inputs[0])
            },
            "
            %0 = input() : [batch, 3, 1, 4]
            %1 = gather(%0, axis 1, [0, 1, 1, 2]) : [batch, 4, 1, 4]
            %2 = reshape(%1) : [batch, 2, 2, 1, 4]
            %3 = constant(0.5, 0.5, 0.5, 0.5) : [2, 2, 1, 1]
            %4 = multiply(%2, %3) : [batch, 2, 2, 1, 4]
            %5 = sum(%4, axes [2]) : [batch, 2, 1, 4]
            %6 = gather(%5, axis 2, [0, 0]) : [batch, 2, 2, 4]
            %7 = reshape(%6) : [batch, 2, 2, 1, 4]
            %8 = constant(1.0, 1.0) : [2, 1, 1]
            %9 = multiply(%7, %8) : [batch, 2, 2, 1, 4]
            %10 = sum(%9, axes [3]) : [batch, 2, 2, 4]
            outputs %10
            ",
        );
    }

    #[test]
    fn the_windows_of_an_open_image_are_not_known_but_their_number_is() {
        let pool = AdaptivePool2d { kind: PoolKind::Max, size: [2, 7] };
        check(
            &["?, 5, 3"],
            |builder, inputs| pool.lower(builder, inputs[0]),
            "%0 = input() : [batch, ?, 5, 3]\n%1 = unresolved(%0) : [batch, 2, 7, 3]\noutputs %1",
        );
        assert_eq!(
            fault(&["1048577, 1, 1"], |builder, inputs| pool.lower(builder, inputs[0])),
            "its input has 1048577 pixels on an axis, expected 1 to 1048576"
        );
    }
}
