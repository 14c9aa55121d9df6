//! Random graphs, for tests of what computes or rewrites graphs. A seed always gives the same graph.
//!
//! Images are of a few pixels, weights are multiples of 1/16, and functions that would leave the range of float32 get bounded
//! operands, so that an engine's rounding stays small. It does not where a value is compared, rounded or sorted whose exact
//! number lies on an edge: such a test needs a tolerance for single elements.

use model::reference::Array;
use model::{Builder, Fault, Graph, Shape, Size, Tensor, Value};

mod elements;
mod images;
mod moving;
mod products;
mod random;

pub use self::elements::{BINARIES, COMPARISONS, FUNCTIONS};
pub use self::random::Random;

/// Most elements of a value for one image.
const MOST_ELEMENTS: usize = 2000;

/// What a step of the generator adds: a primitive, with others that it needs, or a few that a pass looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they have the names of primitives")]
pub enum Kind {
    Constant,
    Convolution,
    ConvolutionTranspose,
    MatrixProduct,
    Einsum,
    Pool,
    Patches,
    Reduce,
    Unary,
    Binary,
    Compare,
    Select,
    FullLike,
    Softmax,
    LogSoftmax,
    BatchNorm,
    Sort,
    CumulativeSum,
    Reshape,
    Transpose,
    Concatenate,
    Slice,
    Pad,
    Gather,
    Resize,
    SpaceToDepth,
    DepthToSpace,
    /// A convolution between padding and a normalization.
    Block,
    /// A transpose to channels first and back.
    ThereAndBack,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Constant,
        Self::Convolution,
        Self::ConvolutionTranspose,
        Self::MatrixProduct,
        Self::Einsum,
        Self::Pool,
        Self::Patches,
        Self::Reduce,
        Self::Unary,
        Self::Binary,
        Self::Compare,
        Self::Select,
        Self::FullLike,
        Self::Softmax,
        Self::LogSoftmax,
        Self::BatchNorm,
        Self::Sort,
        Self::CumulativeSum,
        Self::Reshape,
        Self::Transpose,
        Self::Concatenate,
        Self::Slice,
        Self::Pad,
        Self::Gather,
        Self::Resize,
        Self::SpaceToDepth,
        Self::DepthToSpace,
        Self::Block,
        Self::ThereAndBack,
    ];
}

/// A graph of up to a dozen random steps.
///
/// # Panics
/// The generator has a mistake.
#[must_use]
pub fn graph(seed: u64) -> Graph {
    let mut drawing = Drawing::new(seed);
    for _ in 0..drawing.random.between(4, 12) {
        let kind = drawing.random.pick(&Kind::ALL);
        drawing.step(kind);
    }
    drawing.finish()
}

/// A graph of one step, whose last value it gives: what an engine makes of a primitive without errors of those before.
///
/// # Panics
/// The generator has a mistake.
#[must_use]
pub fn graph_of(kind: Kind, seed: u64) -> Graph {
    let mut drawing = Drawing::new(seed);
    drawing.step(kind);
    let last = drawing.values.last().copied();
    drawing.builder.finish(last.into_iter().collect()).expect("it has an input and a value")
}

/// Random images for a graph, multiples of 1/16 from -2 to 2.
#[must_use]
pub fn images(graph: &Graph, count: usize, seed: u64) -> Array {
    let mut random = Random::new(seed);
    let size = |size: &Size| match size {
        Size::Known(size) => *size,
        Size::Batch(rows) => rows * count,
        Size::Open => panic!("a random graph has no open size"),
    };
    let shape: Vec<usize> = graph.node(graph.input).shape.iter().map(size).collect();
    Array::from_fn(&shape, |_| f64::from(random.weight()))
}

/// A graph that is being drawn.
struct Drawing {
    random: Random,
    builder: Builder,
    /// What the next steps may read.
    values: Vec<Value>,
}

impl Drawing {
    fn new(seed: u64) -> Self {
        let (mut random, mut builder) = (Random::new(seed), Builder::new());
        let sizes = [random.between(3, 7), random.between(3, 7), random.pick(&[1, 2, 3, 4])];
        builder.begin("input");
        let input = builder.input(Shape::batched(sizes)).expect("it is the only input");
        Self { random, builder, values: vec![input] }
    }

    /// Adds what a kind stands for. Not every draw fits its input: another is drawn then.
    fn step(&mut self, kind: Kind) {
        self.builder.begin(&format!("{kind:?}"));
        for _ in 0..100 {
            let Ok(value) = self.draw(kind) else { continue };
            if self.builder.shape(value).elements().is_some_and(|elements| elements <= MOST_ELEMENTS) {
                self.values.push(value);
                return;
            }
        }
        panic!("{kind:?} fits none of the values");
    }

    fn draw(&mut self, kind: Kind) -> Result<Value, Fault> {
        match kind {
            Kind::Constant => self.constant(),
            Kind::Convolution => self.convolution(),
            Kind::ConvolutionTranspose => self.convolution_transpose(),
            Kind::MatrixProduct => self.matrix_product(),
            Kind::Einsum => self.einsum(),
            Kind::Pool => self.pool(),
            Kind::Patches => self.patches(),
            Kind::Reduce => self.reduce(),
            Kind::Unary => self.unary(),
            Kind::Binary => self.binary(),
            Kind::Compare => self.compare(),
            Kind::Select => self.select(),
            Kind::FullLike => self.full_like(),
            Kind::Softmax => self.softmax(),
            Kind::LogSoftmax => self.log_softmax(),
            Kind::BatchNorm => self.batch_norm(),
            Kind::Sort => self.sort(),
            Kind::CumulativeSum => self.cumulative_sum(),
            Kind::Reshape => self.reshape(),
            Kind::Transpose => self.transpose(),
            Kind::Concatenate => self.concatenate(),
            Kind::Slice => self.slice(),
            Kind::Pad => self.pad(),
            Kind::Gather => self.gather(),
            Kind::Resize => self.resize(),
            Kind::SpaceToDepth => self.space_to_depth(),
            Kind::DepthToSpace => self.depth_to_space(),
            Kind::Block => self.block(),
            Kind::ThereAndBack => self.there_and_back(),
        }
    }

    /// The last value and perhaps one before it are the outputs.
    fn finish(mut self) -> Graph {
        let mut outputs: Vec<Value> = self.values.last().copied().into_iter().collect();
        if self.random.one_in(3) {
            outputs.push(self.any());
        }
        self.builder.finish(outputs).expect("it has an input and a value")
    }

    /// A value, more often the last.
    fn any(&mut self) -> Value {
        let last = self.values[self.values.len() - 1];
        if self.random.one_in(2) { last } else { self.random.pick(&self.values) }
    }

    /// A batch of images: height, width and channels are known.
    fn image(&mut self) -> (Value, [usize; 3]) {
        let image = |value: &Value| match self.builder.shape(*value)[..] {
            [Size::Batch(_), Size::Known(height), Size::Known(width), Size::Known(channels)] => {
                Some((*value, [height, width, channels]))
            }
            _ => None,
        };
        let images: Vec<(Value, [usize; 3])> = self.values.iter().filter_map(image).collect();
        if self.random.one_in(2) { images[images.len() - 1] } else { self.random.pick(&images) }
    }

    /// An axis of a value that is not the batch.
    fn axis(&mut self, x: Value) -> Result<usize, Fault> {
        let sizes = self.builder.shape(x).iter().enumerate();
        let axes: Vec<usize> = sizes.filter(|(_, size)| !size.is_batch()).map(|(axis, _)| axis).collect();
        if axes.is_empty() { Err("it has no axis of its own".into()) } else { Ok(self.random.pick(&axes)) }
    }

    /// The size of an axis that is not the batch.
    fn size(&self, x: Value, axis: usize) -> Result<usize, Fault> {
        let size = self.builder.shape(x).get(axis).and_then(|size| size.known());
        size.ok_or_else(|| "the axis has no size of its own".into())
    }

    fn rank(&self, x: Value) -> usize {
        self.builder.shape(x).len()
    }

    /// A weight with random numbers.
    fn weight(&mut self, shape: &[usize]) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.weight()).collect();
        Tensor::new(shape, values)
    }
}
