//! The text of a graph.

use std::sync::Arc;

use model::{
    BatchNorm, Binary, Builder, Comparison, Convolution, ConvolutionTranspose, Equation, Fault, Graph,
    Interpolation, Op, PadMode, Padding, PoolKind, Range, Reduction, Resize, Shape, Size, Tensor, Unary,
    Value, Window,
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![0.0; shape.iter().product()])
}

fn lines(text: &str) -> Vec<&str> {
    text.trim().lines().map(str::trim).collect()
}

/// Checks the text of a graph on images of 8 by 8 by 4.
fn check(build: impl FnOnce(&mut Builder, Value) -> Result<Value, Fault>, expected: &str) -> Graph {
    let mut builder = Builder::new();
    builder.begin("image");
    let x = builder.input(Shape::batched([8, 8, 4])).unwrap();
    builder.begin("a/b");
    let output = build(&mut builder, x).unwrap();
    let graph = builder.finish(vec![output]).unwrap();
    assert_eq!(lines(&graph.to_string()), lines(expected));
    graph
}

#[test]
fn a_node_is_a_line() {
    let graph = check(
        |builder, x| {
            let window = Window { size: 3, stride: 2, dilation: 1, padding: Padding::Same };
            let kernel = zeros(&[3, 3, 4, 6]);
            let bias = Some(zeros(&[6]));
            let x = builder.convolution(x, Convolution { kernel, bias, windows: [window; 2], groups: 1 })?;
            let padding = Padding::Explicit { before: 1, after: 0 };
            let windows = [Window { dilation: 2, ..Window::of(2) }, Window { padding, ..Window::of(1) }];
            let kernel = zeros(&[2, 1, 1, 6]);
            let x = builder.convolution(x, Convolution { kernel, bias: None, windows, groups: 6 })?;
            let vector = zeros(&[6]);
            let norm = BatchNorm {
                axis: 3,
                gamma: None,
                beta: Some(vector.clone()),
                mean: vector.clone(),
                variance: vector,
                epsilon: 0.001,
            };
            let x = builder.batch_norm(x, norm)?;
            builder.unary(Unary::LeakyRelu { slope: 0.5 }, x)
        },
        "
        %0 = input() : [batch, 8, 8, 4] // image
        %1 = convolution(%0, kernel [3, 3, 4, 6], bias [6], strides [2, 2], same) : [batch, 4, 4, 6] // a/b
        %2 = convolution(%1, kernel [2, 1, 1, 6], dilation [2, 1], padding [[0, 0], [1, 0]], groups 6) : [batch, 2, 5, 6] // a/b
        %3 = batch_norm(%2, axis 3, beta, epsilon 0.001) : [batch, 2, 5, 6] // a/b
        %4 = leaky_relu(%3, slope 0.5) : [batch, 2, 5, 6] // a/b
        outputs %4
        ",
    );
    assert_eq!(graph.readers(), [1, 1, 1, 1, 1]);
    assert!(graph.first_open().is_none());
}

#[test]
fn every_setting_is_shown() {
    check(
        |builder, x| {
            let pool = builder.pool(x, PoolKind::Average, [Window { stride: 4, ..Window::of(4) }; 2])?;
            let mean = builder.reduce_kept(Reduction::Mean, x, &[1, 2])?;
            let size = [2, 2].map(Size::Known);
            let resize = Resize { size, interpolation: Interpolation::Bicubic, antialias: true };
            let small = builder.resize(x, resize)?;
            let edges = [[0, 0], [0, 0], [0, 0], [1, 2]];
            let small = builder.pad(small, &edges, PadMode::Constant(0.5))?;
            let ranges =
                [Range::WHOLE, Range::WHOLE, Range::WHOLE, Range { start: Some(-2), stop: None, step: -2 }];
            let small = builder.slice(small, &ranges)?;
            let small = builder.concatenate(&[small, pool], 3)?;
            let small = builder.gather(small, 3, [5, 0])?;
            let small = builder.transpose(small, &[0, 3, 1, 2])?;
            let shape = Shape(vec![Size::Batch(2), Size::Known(4)]);
            let small = builder.reshape(small, shape)?;
            let equation =
                Equation { operands: vec![vec!['a', 'b'], vec!['b', 'c']], output: vec!['a', 'c'] };
            let kernel = builder.constant(&zeros(&[4, 3]))?;
            let small = builder.einsum(&equation, &[small, kernel])?;
            let small = builder.softmax(small, 1)?;
            let back = builder.reshape(small, Shape::batched([6]))?;
            let mean = builder.reduce_dropped(Reduction::Max, mean, &[1, 2, 3])?;
            let mean = builder.expand(mean, 1)?;
            builder.binary(Binary::Add, back, mean)
        },
        "
        %0 = input() : [batch, 8, 8, 4] // image
        %1 = average_pool(%0, size [4, 4], strides [4, 4]) : [batch, 2, 2, 4] // a/b
        %2 = mean(%0, axes [1, 2], kept) : [batch, 1, 1, 4] // a/b
        %3 = resize(%0, bicubic, antialias) : [batch, 2, 2, 4] // a/b
        %4 = pad(%3, edges [[0, 0], [0, 0], [0, 0], [1, 2]], 0.5) : [batch, 2, 2, 7] // a/b
        %5 = slice(%4, [:, :, :, 5:0:-2]) : [batch, 2, 2, 3] // a/b
        %6 = concatenate(%5, %1, axis 3) : [batch, 2, 2, 7] // a/b
        %7 = gather(%6, axis 3, [5, 0]) : [batch, 2, 2, 2] // a/b
        %8 = transpose(%7, order [0, 3, 1, 2]) : [batch, 2, 2, 2] // a/b
        %9 = reshape(%8) : [batch * 2, 4] // a/b
        %10 = constant(…) : [4, 3] // a/b
        %11 = einsum(%9, %10, ab,bc->ac) : [batch * 2, 3] // a/b
        %12 = softmax(%11, axis 1) : [batch * 2, 3] // a/b
        %13 = reshape(%12) : [batch, 6] // a/b
        %14 = max(%2, axes [1, 2, 3]) : [batch] // a/b
        %15 = reshape(%14) : [batch, 1] // a/b
        %16 = add(%13, %15) : [batch, 6] // a/b
        outputs %16
        ",
    );
}

#[test]
fn constants_are_there_once() {
    let values: Arc<[f32]> = Arc::from([1.0, -2.5, 0.1, 4.0]);
    let kernel = Tensor::new(&[4], Arc::clone(&values));
    check(
        |builder, x| {
            let x = builder.with_scalar(Binary::Multiply, x, 0.5)?;
            let x = builder.with_constant(Binary::Add, x, &kernel)?;
            let x = builder.with_constant(Binary::Subtract, x, &kernel)?;
            let other = builder.constant(&kernel.reshaped(&[4, 1]))?;
            let x = builder.matrix_product(x, other)?;
            let large = builder.compare_scalar(Comparison::Greater, x, 0.5)?;
            let none = builder.full_like(x, 0.5)?;
            builder.select(large, x, none)
        },
        "
        %0 = input() : [batch, 8, 8, 4] // image
        %1 = constant(0.5) : [] // a/b
        %2 = multiply(%0, %1) : [batch, 8, 8, 4] // a/b
        %3 = constant(1.0, -2.5, 0.1, 4.0) : [4] // a/b
        %4 = add(%2, %3) : [batch, 8, 8, 4] // a/b
        %5 = subtract(%4, %3) : [batch, 8, 8, 4] // a/b
        %6 = constant(1.0, -2.5, 0.1, 4.0) : [4, 1] // a/b
        %7 = matrix_product(%5, %6) : [batch, 8, 8, 1] // a/b
        %8 = greater(%7, %1) : [batch, 8, 8, 1] // a/b
        %9 = full_like(%7, 0.5) : [batch, 8, 8, 1] // a/b
        %10 = select(%8, %7, %9) : [batch, 8, 8, 1] // a/b
        outputs %10
        ",
    );
}

#[test]
fn what_changes_nothing_adds_no_node() {
    check(
        |builder, x| {
            let x = builder.transpose(x, &[0, 1, 2, 3])?;
            let x = builder.pad(x, &[[0, 0]; 4], PadMode::Reflect)?;
            let all = Range { start: Some(0), stop: Some(9), step: 1 };
            let x = builder.slice(x, &[Range::WHOLE, all, all, all])?;
            let x = builder.concatenate(&[x], 1)?;
            let x = builder.reduce_dropped(Reduction::Sum, x, &[])?;
            builder.reshape(x, Shape::batched([8, 8, 4]))
        },
        "
        %0 = input() : [batch, 8, 8, 4] // image
        outputs %0
        ",
    );
}

#[test]
fn what_is_open_is_found() {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([Size::Open, Size::Known(3)])).unwrap();
    let mean = builder.reduce_dropped(Reduction::Mean, x, &[1]).unwrap();
    let graph = builder.finish(vec![mean]).unwrap();
    assert_eq!(graph.first_open().map(ToString::to_string).as_deref(), Some("input() : [batch, ?, 3]"));

    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([3])).unwrap();
    let pooled = builder.unresolved(&[x], Shape::batched([7])).unwrap();
    let graph = builder.finish(vec![pooled]).unwrap();
    assert_eq!(graph.first_open().map(ToString::to_string).as_deref(), Some("unresolved(%0) : [batch, 7]"));
}

#[test]
fn larger_images() {
    check(
        |builder, x| {
            let window = Window { size: 2, stride: 2, dilation: 1, padding: Padding::VALID };
            let by = ConvolutionTranspose {
                kernel: zeros(&[2, 2, 3, 4]),
                bias: None,
                windows: [window; 2],
                size: [16, 16].map(Size::Known),
            };
            let x = builder.convolution_transpose(x, by)?;
            let x = builder.add(Op::MatrixProduct { transposed: [true, false] }, &[x, x])?;
            builder.patches(x, [Window::of(3), Window::of(1)])
        },
        "
        %0 = input() : [batch, 8, 8, 4] // image
        %1 = convolution_transpose(%0, kernel [2, 2, 3, 4], strides [2, 2]) : [batch, 16, 16, 3] // a/b
        %2 = matrix_product(%1, %1, left transposed) : [batch, 16, 3, 3] // a/b
        %3 = patches(%2, size [3, 1]) : [batch, 14, 3, 9] // a/b
        outputs %3
        ",
    );
}
