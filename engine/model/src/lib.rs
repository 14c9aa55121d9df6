//! A model as a graph of primitives, between the formats that models are saved in and the engines that compute them.
//!
//! A reader of a format (the crate `keras`) lowers its layers to primitives with a [`Builder`]. Passes make the graph
//! smaller. An engine computes each primitive. No primitive is of one format or of one engine: what Keras means by a
//! layer's arguments is settled when it is lowered, and how a library computes a convolution best is its engine's affair.
//!
//! - A [`Value`] is what a [`Node`] computes: an array of numbers, float32 in an engine. A comparison gives 1 or 0.
//! - A [`Shape`] has a [`Size`] for each axis, and one stands on every node. The batch is an axis of its own kind of size,
//!   [`Size::Batch`], and no primitive works over it, so images never mix. Constants have no batch, and broadcast. A size
//!   that the model leaves open is [`Size::Open`]: a graph with such sizes tells shapes; it is lowered again, once the size
//!   of the images is known, to be computed.
//! - An [`Op`] says all of what a primitive does: axes are counted from 0 with the batch, and what has a default elsewhere
//!   has a value here. Images are `[batch, height, width, channels]`. A sequence is an image of one row.
//! - Weights that are always constant (kernels, statistics) are in the [`Op`]; operands that may be computed as well are
//!   values, and a weight among them is an [`Op::Constant`]. All share memory with the file's own, see [`Tensor`].
//! - The text of a graph, one line a node, is what tests of passes compare.
//! - [`passes`] make a graph smaller.
//! - [`mod@reference`] computes a graph in double precision; engines are compared with it.
//!
//! # Adding a primitive
//!
//! A primitive is worth having where a library has one kernel for it that is more exact or quicker than its parts, or where
//! it has no parts. Everything else is a composition: in `builder/composites.rs` if several layers need it.
//!
//! 1. `op.rs`: the variant, with formula and shapes, and its name.
//! 2. `rules.rs`, `rules/`: the shape of its output and what its inputs have to be; test: `tests/it/shapes.rs`.
//! 3. `builder/primitives.rs`: its method; `text.rs`: its settings.
//! 4. `reference.rs`, `reference/`: the formula (the compiler does not notice if it is missing); `reference/budget.rs`:
//!    its cost; expected values from TensorFlow or NumPy in `tests/fixtures/operations/make.py`, compared in
//!    `tests/it/operations.rs`.
//! 5. `testing/src/graphs.rs`: a variant of `Kind`, in `Kind::ALL` and `draw`, and its method in `graphs/`.
//! 6. Each engine; the compiler names the place (`emit.rs`). Decide also whether it may compute in bfloat16
//!    (`emit/precision.rs`).

mod builder;
mod fault;
mod graph;
mod op;
pub mod passes;
pub mod reference;
mod rules;
mod shape;
mod tensor;
mod text;
mod window;

pub use self::builder::composites::Centred;
pub use self::builder::{Builder, most_elements};
pub use self::fault::Fault;
pub use self::graph::{Graph, Node, Value};
pub use self::op::{
    BatchNorm, Binary, Comparison, Convolution, ConvolutionTranspose, Equation, Interpolation, Op, PadMode,
    PoolKind, Range, Reduce, Reduction, Resize, Steps, Unary,
};
pub use self::shape::{Shape, Size};
pub use self::tensor::Tensor;
pub use self::window::{Padding, Window};
