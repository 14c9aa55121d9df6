//! Graphs that a file of some kilobytes can name, each near what a [`Builder`] takes: the reference interpreter refuses them
//! before it computes anything, and passes leave them alone.

use std::time::{Duration, Instant};

use model::passes::standard;
use model::reference::{Array, Budget, evaluate};
use model::{
    Binary, Builder, Convolution, ConvolutionTranspose, Equation, Fault, Graph, Interpolation, Op, PadMode,
    Padding, PoolKind, Reduction, Resize, Shape, Size, Tensor, Unary, Value, Window,
};

/// What a test may take on a busy machine. What is refused takes milliseconds, and what would be computed takes minutes.
const SOON: Duration = Duration::from_secs(20);

const LONG: usize = 1 << 15;

type Build = fn(&mut Builder, Value) -> Result<Value, Fault>;

/// On images of 4 by 4 by 1.
const GRAPHS: [(&str, Build); 12] = [
    ("an outer product of two constants", |builder, x| {
        let column = ones(builder, &[LONG, 1])?;
        let row = ones(builder, &[1, LONG])?;
        let matrix = builder.matrix_product(column, row)?;
        let sum = builder.reduce_dropped(Reduction::Sum, matrix, &[0, 1])?;
        builder.binary(Binary::Add, x, sum)
    }),
    ("a product that is small, of large constants", |builder, x| {
        let row = ones(builder, &[1, LONG])?;
        let large = broadcast(builder, row, &[LONG, LONG])?;
        let product = builder.matrix_product(row, large)?;
        let sum = builder.reduce_dropped(Reduction::Max, product, &[0, 1])?;
        builder.binary(Binary::Add, x, sum)
    }),
    ("an einsum over many axes", |builder, x| {
        let vector = ones(builder, &[1 << 10, 1 << 10])?;
        let other = builder.transpose(vector, &[1, 0])?;
        let letters = |text: &str| text.chars().collect();
        let equation = Equation { operands: vec![letters("ab"), letters("cd")], output: letters("a") };
        let all = builder.einsum(&equation, &[vector, other])?;
        let sum = builder.reduce_dropped(Reduction::Max, all, &[0])?;
        builder.binary(Binary::Add, x, sum)
    }),
    ("a wide image of a high one", |builder, x| {
        let x = builder.pad(x, &[[0, 0], [1 << 20, 0], [0, 0], [0, 0]], PadMode::Constant(0.0))?;
        resized(builder, x, [1, 1 << 20], Interpolation::Bilinear)
    }),
    ("a large image", |builder, x| resized(builder, x, [LONG, LONG], Interpolation::Nearest)),
    ("a kernel with an image on every pixel of a large one", |builder, x| {
        let x = builder.pad(x, &[[0, 0], [0, 1 << 10], [0, 1 << 10], [0, 0]], PadMode::Constant(0.0))?;
        let kernel = Tensor::new(&[1 << 9, 1 << 9, 1, 1], vec![1.0; 1 << 18]);
        let windows = [Window { padding: Padding::Same, ..Window::of(1 << 9) }; 2];
        builder.convolution(x, Convolution { kernel, bias: None, windows, groups: 1 })
    }),
    ("a transposed convolution of a large image", |builder, x| {
        let x = builder.pad(x, &[[0, 0], [0, 1 << 12], [0, 1 << 12], [0, 0]], PadMode::Constant(1.0))?;
        let kernel = Tensor::new(&[1, 1, 64, 1], vec![1.0; 64]);
        let length = Size::Known((1 << 12) + 4);
        let (windows, size) = ([Window::of(1); 2], [length; 2]);
        builder.convolution_transpose(x, ConvolutionTranspose { kernel, bias: None, windows, size })
    }),
    ("a pooling with a window as large as the image", |builder, x| {
        let x = builder.pad(x, &[[0, 0], [0, 1 << 10], [0, 1 << 10], [0, 0]], PadMode::Constant(0.0))?;
        builder.pool(x, PoolKind::Max, [Window { padding: Padding::Same, ..Window::of(1 << 10) }; 2])
    }),
    ("patches as large as the image", |builder, x| {
        let x = builder.pad(x, &[[0, 0], [0, 150], [0, 150], [0, 0]], PadMode::Constant(0.0))?;
        builder.patches(x, [Window { padding: Padding::Same, ..Window::of(150) }; 2])
    }),
    ("constants on many axes", |builder, x| {
        let mut value = ones(builder, &[1; 16])?;
        for axis in 0..5 {
            value = builder.gather(value, axis, vec![0; 64])?;
        }
        let sum = builder.reduce_dropped(Reduction::Sum, value, &(0..16).collect::<Vec<_>>())?;
        builder.binary(Binary::Add, x, sum)
    }),
    ("many values that are large together", |builder, x| {
        let mut x = builder.pad(x, &[[0, 0], [0, 1 << 10], [0, 1 << 10], [0, 0]], PadMode::Constant(0.0))?;
        for _ in 0..100 {
            x = builder.unary(Unary::Sin, x)?;
        }
        Ok(x)
    }),
    ("many constants that are large together", |builder, x| {
        let mut value = ones(builder, &[1, 1 << 10])?;
        value = broadcast(builder, value, &[1 << 10, 1 << 10])?;
        for _ in 0..10_000 {
            value = builder.unary(Unary::Sin, value)?;
        }
        let sum = builder.reduce_dropped(Reduction::Max, value, &[0, 1])?;
        builder.binary(Binary::Add, x, sum)
    }),
];

fn ones(builder: &mut Builder, shape: &[usize]) -> Result<Value, Fault> {
    builder.constant(&Tensor::new(shape, vec![1.0; shape.iter().product()]))
}

/// A constant with its axes of size 1 repeated.
fn broadcast(builder: &mut Builder, x: Value, shape: &[usize]) -> Result<Value, Fault> {
    let column = ones(builder, &[shape[0], 1])?;
    builder.binary(Binary::Multiply, x, column)
}

fn resized(builder: &mut Builder, x: Value, size: [usize; 2], by: Interpolation) -> Result<Value, Fault> {
    let size = size.map(Size::Known);
    builder.resize(x, Resize { size, interpolation: by, antialias: false })
}

fn graph(name: &str, build: Build) -> Graph {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([4, 4, 1])).unwrap();
    let output = build(&mut builder, x).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    builder.finish(vec![output]).unwrap()
}

fn image() -> Array {
    Array::from_fn(&[1, 4, 4, 1], |_| 1.0)
}

#[test]
fn what_would_take_minutes_is_refused() {
    for (name, build) in GRAPHS {
        let (graph, begin) = (graph(name, build), Instant::now());
        let fault = evaluate(&graph, &image(), Budget::default()).expect_err(name).0;
        assert!(fault.contains("values in") && fault.contains("expected at most"), "{name}: {fault}");
        assert!(begin.elapsed() < SOON, "{name}: {:?}", begin.elapsed());
    }
}

#[test]
fn passes_do_not_compute_what_would_take_minutes() {
    for (name, build) in GRAPHS {
        let (graph, begin) = (graph(name, build), Instant::now());
        let after = standard(graph.clone());
        assert!(begin.elapsed() < SOON, "{name}: {:?}", begin.elapsed());
        assert!(after.nodes.len() <= graph.nodes.len(), "{name}");
        let constants = after.nodes.iter().filter(|node| matches!(node.op, Op::Constant(_)));
        let values: usize =
            constants.flat_map(|node| node.op.weights()).map(|tensor| tensor.values.len()).sum();
        assert!(values <= 1 << 23, "{name}: {values} values of constants");
    }
}

#[test]
fn a_budget_is_for_all_images_and_for_all_nodes() {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([2, 2])).unwrap();
    let square = builder.unary(Unary::Square, x).unwrap();
    let product = builder.matrix_product(square, square).unwrap();
    let graph = builder.finish(vec![product]).unwrap();
    let evaluate = |images: usize, elements: usize, steps: usize| {
        let images = Array::from_fn(&[images, 2, 2], |_| 1.0);
        evaluate(&graph, &images, Budget { elements, steps }).map(|_| ()).map_err(|fault| fault.0)
    };
    // Three values of 4 elements. The input takes 4 steps, the squares 8, the product 2 * 4 * 2.
    assert_eq!(evaluate(1, 12, 28), Ok(()));
    let fault = evaluate(1, 11, 28).unwrap_err();
    assert_eq!(fault, "its matrix_product gives 4 values in 16 steps, expected at most 3 in 16");
    assert!(evaluate(1, 12, 27).is_err());
    assert!(evaluate(2, 12, 28).is_err());
    assert_eq!(evaluate(2, 24, 56), Ok(()));
}

#[test]
fn what_does_not_fit_the_graph_is_refused() {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([Size::Known(2), Size::Open])).unwrap();
    let open = builder.finish(vec![x]).unwrap();
    let fault = |graph: &Graph, shape: &[usize]| {
        evaluate(graph, &Array::from_fn(shape, |_| 0.0), Budget::default()).unwrap_err().0
    };
    let expected = "`input() : [batch, 2, ?]` has an open size, expected all to be known";
    assert_eq!(fault(&open, &[1, 2, 3]), expected);

    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([2])).unwrap();
    let unread = builder.constant(&Tensor::new(&[2], [])).unwrap();
    let sum = builder.binary(Binary::Add, x, unread).unwrap();
    let unread = builder.finish(vec![sum]).unwrap();
    assert_eq!(fault(&unread, &[1, 3]), "the images have shape [1, 3], expected [batch, 2]");
    assert_eq!(fault(&unread, &[2]), "the images have shape [2], expected [batch, 2]");
    assert_eq!(fault(&unread, &[1, 2]), "its weights were not read");
}
