//! `LocallyConnected2D` and `LocallyConnected1D` of Keras 2: convolutions with a kernel of its own at each position.

use std::sync::Arc;

use model::{Binary, Builder, Fault, Shape, Size, Value, Window};

use super::cropping::{self, Edges};
use super::windows::Padding;
use crate::Tensor;
use crate::layers::{Activation, Layer, sequence};
use crate::reader::Reader;

/// Largest size of an image on one axis, and of a window.
const MAX_LENGTH: usize = 1 << 12;

/// Most values in all kernels together.
const MAX_NUMBERS: usize = 1 << 28;

/// [`Layer::LocallyConnected2d`].
#[derive(Debug, Clone)]
pub struct LocallyConnected2d {
    /// `[rows * columns of the output, height * width of the window * channels in, channels out]`.
    pub kernel: Tensor,
    /// `[rows, columns, channels out]`.
    pub bias: Option<Tensor>,
    /// Height and width of the window.
    pub size: [usize; 2],
    /// Vertical, horizontal.
    pub strides: [usize; 2],
    /// Rows of zeros above and columns of zeros to the left of the image.
    pub before: [usize; 2],
    /// Height and width of the input: no other image fits the kernels.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Applied to the result.
    pub activation: Activation,
}

pub(super) fn locally_connected<const AXES: usize>(reader: &mut Reader) -> Layer {
    let filters = reader.size("filters");
    let size = sequence::for_image(reader.sizes::<AXES>("kernel_size"), 1);
    let strides = sequence::for_image(reader.sizes_or("strides", [1; AXES]), 1);
    let padding = reader.padding();
    let implementation = reader.integer_or("implementation", 1);
    let has_bias = reader.flag_or("use_bias", true);
    let activation = reader.activation();
    reader.data_format();
    if reader.is_channels_first() {
        // Keras 2 lays its kernels out in another order then, and its bias in yet another.
        reader.fault("`data_format` is \"channels_first\", expected \"channels_last\"");
    }
    let Some((input, channels)) = fixed_input::<AXES>(reader) else {
        reader.unsure();
        return Layer::Identity;
    };
    let axis = |axis: usize| Axis::new(input[axis], size[axis], strides[axis], padding);
    let (Some(rows), Some(columns)) = (axis(0), axis(1)) else {
        reader.fault(format!("its window of {size:?} does not fit its input of {input:?} pixels"));
        reader.unsure();
        return Layer::Identity;
    };
    let geometry = Geometry { rows, columns, channels, filters };
    if geometry.numbers().is_none() {
        reader.fault(format!("its kernels have more than {MAX_NUMBERS} numbers, which is too many"));
        reader.unsure();
        return Layer::Identity;
    }
    let kernel = match implementation {
        1 => reader.weight(&["kernel"], &geometry.kernel_shape().map(Some)),
        2 => {
            let all = reader.weight(&["kernel"], &sized(&geometry.dense_kernel_shape::<AXES>()));
            geometry.kernel_from_dense(&all)
        }
        3 => {
            let connected = reader.weight(&["kernel"], &[Some(geometry.connections())]);
            geometry.kernel_from_connections(&connected)
        }
        other => {
            reader.fault(format!("`implementation` is {other}, expected 1, 2 or 3"));
            reader.unsure();
            return Layer::Identity;
        }
    };
    let output = [geometry.rows.output, geometry.columns.output];
    let bias_shape: Vec<usize> = output[2 - AXES..].iter().copied().chain([filters]).collect();
    let bias = has_bias.then(|| reader.weight(&["bias"], &sized(&bias_shape)));
    sequence::layer::<AXES>(Layer::LocallyConnected2d(LocallyConnected2d {
        kernel,
        bias: bias.map(|bias| Tensor { shape: vec![output[0], output[1], filters], values: bias.values }),
        size,
        strides,
        before: [geometry.rows.before, geometry.columns.before],
        input,
        output,
        activation,
    }))
}

impl LocallyConnected2d {
    /// Extracts a patch for each output position, and multiplies each by a kernel of its own.
    pub(super) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let [positions, pixels, filters] = self.kernel.shape[..] else {
            return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", self.kernel.shape)));
        };
        self.check_input(builder, x, pixels)?;
        // Padding up to the end of the last window.
        let after = |axis: usize| {
            let end = (self.output[axis] - 1) * self.strides[axis] + self.size[axis];
            end.saturating_sub(self.before[axis] + self.input[axis])
        };
        let edges = Edges { top: self.before[0], bottom: after(0), left: self.before[1], right: after(1) };
        let padded = cropping::padded(edges, 0.0, builder, x)?;
        let windows = [0, 1].map(|axis| Window { stride: self.strides[axis], ..Window::of(self.size[axis]) });
        let patches = builder.patches(padded, windows)?;
        let batch = builder.shape(x)[0];
        let flat = Shape(vec![batch, Size::Known(positions), Size::Known(pixels)]);
        let patches = builder.reshape(patches, flat)?;

        let positions_first = builder.transpose(patches, &[1, 0, 2])?;
        let kernel = builder.constant(&self.kernel)?;
        let products = builder.matrix_product(positions_first, kernel)?;
        let products = builder.transpose(products, &[1, 0, 2])?;
        let [rows, columns] = self.output.map(Size::Known);
        let image = Shape(vec![batch, rows, columns, Size::Known(filters)]);
        let mut output = builder.reshape(products, image)?;
        if let Some(bias) = &self.bias {
            output = builder.with_constant(Binary::Add, output, bias)?;
        }
        self.activation.lower(builder, output)
    }

    fn check_input(&self, builder: &Builder, x: Value, pixels: usize) -> Result<(), Fault> {
        let shape = builder.shape(x);
        let [height, width, channels] = shape.image()?;
        let [rows, columns] = self.input;
        let seen = channels.times(self.size[0] * self.size[1])?;
        if [height, width, seen] == [rows, columns, pixels].map(Size::Known) {
            return Ok(());
        }
        let found = shape.described();
        Err(Fault(format!("its input has shape {found}, expected {rows} by {columns} pixels")))
    }
}

fn sized(shape: &[usize]) -> Vec<Option<usize>> {
    shape.iter().copied().map(Some).collect()
}

/// Height, width and channels of the input; the height of a sequence is 1.
fn fixed_input<const AXES: usize>(reader: &mut Reader) -> Option<([usize; 2], usize)> {
    let shape: Option<Vec<usize>> = reader.input()?.iter().copied().collect();
    match shape.as_deref() {
        Some([height, width, channels]) if AXES == 2 => Some(([*height, *width], *channels)),
        Some([length, channels]) if AXES == 1 => Some(([1, *length], *channels)),
        Some(_) | None => {
            let what = if AXES == 1 { "[sequence, channels]" } else { "[height, width, channels]" };
            reader.fault(format!("its input has no fixed sizes {what}, expected them"));
            None
        }
    }
}

/// A window that moves along one axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    size: usize,
    stride: usize,
    /// How far the first window begins before the input.
    before: usize,
}

impl Axis {
    /// `None` where there is no output, or one too large.
    fn new(input: usize, size: usize, stride: usize, padding: Padding) -> Option<Self> {
        let (reach, before) = match padding {
            Padding::Valid => ((input + 1).checked_sub(size)?, 0),
            // Keras 2 centres these windows on the pixels, whatever the stride.
            Padding::Same => (input, size / 2),
        };
        let fits = input <= MAX_LENGTH && size <= MAX_LENGTH && reach > 0;
        fits.then(|| Self { input, output: reach.div_ceil(stride), size, stride, before })
    }

    /// The pixels that a window covers, each with its position in the window.
    fn seen(self, window: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = window * self.stride;
        (0..self.size).filter_map(move |position| {
            let pixel = (first + position).checked_sub(self.before).filter(|&pixel| pixel < self.input)?;
            Some((pixel, position))
        })
    }
}

/// The sizes of the layer.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    rows: Axis,
    columns: Axis,
    channels: usize,
    filters: usize,
}

impl Geometry {
    fn kernel_shape(&self) -> [usize; 3] {
        let window = self.rows.size * self.columns.size;
        [self.rows.output * self.columns.output, window * self.channels, self.filters]
    }

    /// The shape of a kernel with a weight for every pair of input and output, most of which Keras multiplies by 0.
    fn dense_kernel_shape<const AXES: usize>(&self) -> Vec<usize> {
        let (rows, columns) = (self.rows, self.columns);
        let input = [rows.input, columns.input, self.channels];
        let output = [rows.output, columns.output, self.filters];
        input[2 - AXES..].iter().chain(&output[2 - AXES..]).copied().collect()
    }

    /// How many values the kernels of all positions have; `None` where they are too many.
    fn numbers(&self) -> Option<usize> {
        let (rows, columns) = (self.rows, self.columns);
        let sizes = [rows.output, columns.output, rows.size, columns.size, self.channels, self.filters];
        let product = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        product.filter(|&numbers| numbers <= MAX_NUMBERS)
    }

    fn connections(&self) -> usize {
        let seen = |axis: Axis| (0..axis.output).map(|window| axis.seen(window).count()).sum::<usize>();
        seen(self.rows) * seen(self.columns) * self.channels * self.filters
    }

    fn kernel_from_dense(&self, all: &Tensor) -> Tensor {
        let (rows, columns) = (self.rows, self.columns);
        self.filled(all, |_, at| {
            let input = (at.row * columns.input + at.column) * self.channels + at.channel;
            let output = (at.window[0] * columns.output + at.window[1]) * self.filters + at.filter;
            input * rows.output * columns.output * self.filters + output
        })
    }

    /// Keras orders the connections by output, then by input.
    fn kernel_from_connections(&self, connected: &Tensor) -> Tensor {
        self.filled(connected, |count, _| count)
    }

    /// The kernels of all positions, from an array and the index in it of a connection's weight.
    fn filled(&self, from: &Tensor, index: impl Fn(usize, Connection) -> usize) -> Tensor {
        let shape = self.kernel_shape();
        if from.values.is_empty() {
            // The first pass has no values yet.
            return Tensor { shape: shape.to_vec(), values: Arc::from([]) };
        }
        let (rows, columns) = (self.rows, self.columns);
        let mut values = vec![0.0; shape.iter().product()];
        let mut count = 0;
        for vertical in 0..rows.output {
            for horizontal in 0..columns.output {
                for filter in 0..self.filters {
                    for (row, down) in rows.seen(vertical) {
                        for (column, right) in columns.seen(horizontal) {
                            for channel in 0..self.channels {
                                let window = [vertical, horizontal];
                                let at = Connection { window, row, column, channel, filter };
                                let position = vertical * columns.output + horizontal;
                                let within = (down * columns.size + right) * self.channels + channel;
                                let to = (position * shape[1] + within) * self.filters + filter;
                                values[to] = from.values.get(index(count, at)).copied().unwrap_or(0.0);
                                count += 1;
                            }
                        }
                    }
                }
            }
        }
        Tensor { shape: shape.to_vec(), values: Arc::from(values) }
    }
}

/// A weight between a pixel that a window covers and a filter of the output.
#[derive(Debug, Clone, Copy)]
struct Connection {
    window: [usize; 2],
    row: usize,
    column: usize,
    channel: usize,
    filter: usize,
}
