//! `LocallyConnected2D` and `LocallyConnected1D` of Keras 2: convolutions with a kernel of its own at each place.

use std::sync::Arc;

use crate::Tensor;
use crate::layers::{Activation, Layer, Padding, sequence};
use crate::reader::Reader;

/// Largest size of an image on one axis, and of a window.
const MAX_LENGTH: usize = 1 << 12;

/// Most numbers in all kernels together.
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
    /// Rows above and columns to the left of the image, of zeros.
    pub before: [usize; 2],
    /// Height and width of the one image that fits.
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
    let place = Place { rows, columns, channels, filters };
    if place.numbers().is_none() {
        reader.fault(format!("its kernels have more than {MAX_NUMBERS} numbers, which is too many"));
        reader.unsure();
        return Layer::Identity;
    }
    let kernel = match implementation {
        1 => reader.weight(&["kernel"], &place.one_kernel_a_place().map(Some)),
        2 => {
            let all = reader.weight(&["kernel"], &sized(&place.every_pair::<AXES>()));
            place.kernel_of_every_pair(&all)
        }
        3 => {
            let connected = reader.weight(&["kernel"], &[Some(place.connections())]);
            place.kernel_of_connections(&connected)
        }
        other => {
            reader.fault(format!("`implementation` is {other}, expected 1, 2 or 3"));
            reader.unsure();
            return Layer::Identity;
        }
    };
    let output = [place.rows.output, place.columns.output];
    let bias_shape: Vec<usize> = output[2 - AXES..].iter().copied().chain([filters]).collect();
    let bias = has_bias.then(|| reader.weight(&["bias"], &sized(&bias_shape)));
    sequence::layer::<AXES>(Layer::LocallyConnected2d(LocallyConnected2d {
        kernel,
        bias: bias.map(|bias| Tensor { shape: vec![output[0], output[1], filters], values: bias.values }),
        size,
        strides,
        before: [place.rows.before, place.columns.before],
        input,
        output,
        activation,
    }))
}

fn sized(shape: &[usize]) -> Vec<Option<usize>> {
    shape.iter().copied().map(Some).collect()
}

/// Height, width and channels of the input; one row where it has only steps.
fn fixed_input<const AXES: usize>(reader: &mut Reader) -> Option<([usize; 2], usize)> {
    let shape: Option<Vec<usize>> = reader.input()?.iter().copied().collect();
    match shape.as_deref() {
        Some([height, width, channels]) if AXES == 2 => Some(([*height, *width], *channels)),
        Some([steps, channels]) if AXES == 1 => Some(([1, *steps], *channels)),
        Some(_) | None => {
            let what = if AXES == 1 { "[steps, channels]" } else { "[height, width, channels]" };
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
    /// Nothing where there is no output, or one too large.
    fn new(input: usize, size: usize, stride: usize, padding: Padding) -> Option<Self> {
        let (reach, before) = match padding {
            Padding::Valid => ((input + 1).checked_sub(size)?, 0),
            // Keras 2 centres these windows on the pixels, whatever the stride.
            Padding::Same => (input, size / 2),
        };
        let fits = input <= MAX_LENGTH && size <= MAX_LENGTH && reach > 0;
        fits.then(|| Self { input, output: reach.div_ceil(stride), size, stride, before })
    }

    /// The pixels that a window sees, each with its place in the window.
    fn seen(self, window: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = window * self.stride;
        (0..self.size).filter_map(move |place| {
            let pixel = (first + place).checked_sub(self.before).filter(|&pixel| pixel < self.input)?;
            Some((pixel, place))
        })
    }
}

/// Where the kernels are.
#[derive(Debug, Clone, Copy)]
struct Place {
    rows: Axis,
    columns: Axis,
    channels: usize,
    filters: usize,
}

impl Place {
    fn one_kernel_a_place(&self) -> [usize; 3] {
        let window = self.rows.size * self.columns.size;
        [self.rows.output * self.columns.output, window * self.channels, self.filters]
    }

    /// A weight for every pair of input and output, most of which Keras multiplies with 0.
    fn every_pair<const AXES: usize>(&self) -> Vec<usize> {
        let (rows, columns) = (self.rows, self.columns);
        let input = [rows.input, columns.input, self.channels];
        let output = [rows.output, columns.output, self.filters];
        input[2 - AXES..].iter().chain(&output[2 - AXES..]).copied().collect()
    }

    /// How many numbers a kernel for every place has, where they are not too many.
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

    fn kernel_of_every_pair(&self, all: &Tensor) -> Tensor {
        let (rows, columns) = (self.rows, self.columns);
        self.filled(all, |_, at| {
            let input = (at.row * columns.input + at.column) * self.channels + at.channel;
            let output = (at.window[0] * columns.output + at.window[1]) * self.filters + at.filter;
            input * rows.output * columns.output * self.filters + output
        })
    }

    /// Keras orders the connections by their output, and those of one output by their input.
    fn kernel_of_connections(&self, connected: &Tensor) -> Tensor {
        self.filled(connected, |count, _| count)
    }

    /// The kernels of all places, from an array and where in it the weight of a connection is.
    fn filled(&self, from: &Tensor, index: impl Fn(usize, Connection) -> usize) -> Tensor {
        let shape = self.one_kernel_a_place();
        if from.values.is_empty() {
            // The first reading has no values yet.
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
                                let place = vertical * columns.output + horizontal;
                                let within = (down * columns.size + right) * self.channels + channel;
                                let to = (place * shape[1] + within) * self.filters + filter;
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

/// A pixel that a window sees, and what it is multiplied for.
#[derive(Debug, Clone, Copy)]
struct Connection {
    window: [usize; 2],
    row: usize,
    column: usize,
    channel: usize,
    filter: usize,
}
