//! What each pass makes of a graph, as text before and after. That the numbers stay is in `random_graphs.rs`.

use model::passes::{
    drop_dead_nodes, fold_batch_norms, fold_constants, fold_padding, join_rearrangements, standard,
};
use model::{
    BatchNorm, Binary, Builder, Comparison, Convolution, ConvolutionTranspose, Fault, Graph, Op, PadMode,
    Padding, Range, Reduction, Shape, Size, Tensor, Unary, Value, Window,
};

fn lines(text: &str) -> Vec<&str> {
    text.trim().lines().map(str::trim).collect()
}

/// Checks what a pass makes of a graph on images of 6 by 6 by 2.
fn check(
    pass: fn(Graph) -> Graph,
    build: impl FnOnce(&mut Builder, Value) -> Result<Vec<Value>, Fault>,
    before: &str,
    after: &str,
) -> Graph {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([6, 6, 2])).unwrap();
    let outputs = build(&mut builder, x).unwrap();
    let graph = builder.finish(outputs).unwrap();
    assert_eq!(lines(&graph.to_string()), lines(before), "before");
    let graph = pass(graph);
    assert_eq!(lines(&graph.to_string()), lines(after), "after");
    graph
}

/// Checks that a pass leaves a graph alone.
fn check_same(
    pass: fn(Graph) -> Graph,
    build: impl FnOnce(&mut Builder, Value) -> Result<Vec<Value>, Fault>,
) {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([6, 6, 2])).unwrap();
    let outputs = build(&mut builder, x).unwrap();
    let graph = builder.finish(outputs).unwrap();
    assert_eq!(pass(graph.clone()).to_string(), graph.to_string());
}

/// 1 by 1, from 2 channels to 3: the weights are 1, 2, 3 for the first channel and 4, 5, 6 for the second.
fn convolution() -> Convolution {
    let kernel = Tensor::new(&[1, 1, 2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    Convolution {
        kernel,
        bias: Some(Tensor::vector([5.0, 0.0, 0.0])),
        windows: [Window::of(1); 2],
        groups: 1,
    }
}

/// The scales are 3 / sqrt(4), 1 / sqrt(0.25) and 2 / sqrt(1).
fn batch_norm(axis: usize) -> BatchNorm {
    BatchNorm {
        axis,
        gamma: Some(Tensor::vector([3.0, 1.0, 2.0])),
        beta: Some(Tensor::vector([0.5, 0.0, -1.0])),
        mean: Tensor::vector([1.0, 0.0, 4.0]),
        variance: Tensor::vector([3.75, 0.0, 0.75]),
        epsilon: 0.25,
    }
}

#[test]
fn a_normalization_becomes_part_of_the_convolution_before_it() {
    let graph = check(
        fold_batch_norms,
        |builder, x| {
            let x = builder.convolution(x, convolution())?;
            let x = builder.batch_norm(x, batch_norm(3))?;
            Ok(vec![builder.unary(Unary::Relu, x)?, x])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution(%0, kernel [1, 1, 2, 3], bias [3]) : [batch, 6, 6, 3]
        %2 = batch_norm(%1, axis 3, gamma, beta, epsilon 0.25) : [batch, 6, 6, 3]
        %3 = relu(%2) : [batch, 6, 6, 3]
        outputs %3, %2
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution(%0, kernel [1, 1, 2, 3], bias [3]) : [batch, 6, 6, 3]
        %2 = batch_norm(%1, axis 3, gamma, beta, epsilon 0.25) : [batch, 6, 6, 3]
        %3 = relu(%1) : [batch, 6, 6, 3]
        outputs %3, %1
        ",
    );
    let Op::Convolution(folded) = &graph.nodes[1].op else { panic!("{graph}") };
    assert_eq!(*folded.kernel.values, [1.5, 4.0, 6.0, 6.0, 10.0, 12.0]);
    // beta + (bias - mean) * scale
    assert_eq!(*folded.bias.as_ref().unwrap().values, [6.5, 0.0, -9.0]);
}

#[test]
fn a_transposed_convolution_takes_a_normalization_too() {
    let graph = check(
        |graph| drop_dead_nodes(fold_batch_norms(graph)),
        |builder, x| {
            let kernel = Tensor::new(&[1, 1, 3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let size = [6, 6].map(Size::Known);
            let by = ConvolutionTranspose { kernel, bias: None, windows: [Window::of(1); 2], size };
            let x = builder.convolution_transpose(x, by)?;
            Ok(vec![builder.batch_norm(x, batch_norm(3))?])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution_transpose(%0, kernel [1, 1, 3, 2]) : [batch, 6, 6, 3]
        %2 = batch_norm(%1, axis 3, gamma, beta, epsilon 0.25) : [batch, 6, 6, 3]
        outputs %2
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution_transpose(%0, kernel [1, 1, 3, 2], bias [3]) : [batch, 6, 6, 3]
        outputs %1
        ",
    );
    let Op::ConvolutionTranspose(folded) = &graph.nodes[1].op else { panic!("{graph}") };
    assert_eq!(*folded.kernel.values, [1.5, 3.0, 6.0, 8.0, 10.0, 12.0]);
    assert_eq!(*folded.bias.as_ref().unwrap().values, [-1.0, 0.0, -9.0]);
}

#[test]
fn a_normalization_stays_that_is_not_of_channels_or_whose_input_is_read_elsewhere() {
    check_same(fold_batch_norms, |builder, x| {
        let x = builder.convolution(x, convolution())?;
        Ok(vec![builder.batch_norm(x, batch_norm(3))?, x])
    });
    check_same(fold_batch_norms, |builder, x| {
        let kernel = Tensor::new(&[4, 4, 2, 3], [1.0; 96]);
        let windows = [Window::of(4); 2];
        let x = builder.convolution(x, Convolution { kernel, bias: None, windows, groups: 1 })?;
        Ok(vec![builder.batch_norm(x, batch_norm(2))?])
    });
    check_same(fold_batch_norms, |builder, x| {
        let kernel = Tensor::new(&[1, 1, 2, 3], []);
        let x = builder.convolution(x, Convolution { kernel, ..convolution() })?;
        Ok(vec![builder.batch_norm(x, batch_norm(3))?])
    });
}

fn around_the_image(mode: PadMode) -> impl FnOnce(&mut Builder, Value) -> Result<Value, Fault> {
    move |builder, x| builder.pad(x, &[[0, 0], [1, 2], [0, 3], [0, 0]], mode)
}

#[test]
fn zeros_around_an_image_become_padding_of_the_convolution_after_them() {
    check(
        |graph| drop_dead_nodes(fold_padding(graph)),
        |builder, x| {
            let x = around_the_image(PadMode::Constant(0.0))(builder, x)?;
            let mut by = convolution();
            by.windows[0].padding = Padding::Explicit { before: 0, after: 1 };
            by.windows[1].stride = 2;
            Ok(vec![builder.convolution(x, by)?])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = pad(%0, edges [[0, 0], [1, 2], [0, 3], [0, 0]], 0.0) : [batch, 9, 9, 2]
        %2 = convolution(%1, kernel [1, 1, 2, 3], bias [3], strides [1, 2], padding [[0, 1], [0, 0]]) : [batch, 10, 5, 3]
        outputs %2
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution(%0, kernel [1, 1, 2, 3], bias [3], strides [1, 2], padding [[1, 3], [0, 3]]) : [batch, 10, 5, 3]
        outputs %1
        ",
    );
}

#[test]
fn padding_stays_that_a_convolution_does_not_do_or_that_is_read_elsewhere() {
    let not_zeros = [PadMode::Constant(0.5), PadMode::Reflect, PadMode::Symmetric];
    for mode in not_zeros {
        check_same(fold_padding, |builder, x| {
            let x = around_the_image(mode)(builder, x)?;
            Ok(vec![builder.convolution(x, convolution())?])
        });
    }
    check_same(fold_padding, |builder, x| {
        let x = around_the_image(PadMode::Constant(0.0))(builder, x)?;
        Ok(vec![builder.convolution(x, convolution())?, x])
    });
    check_same(fold_padding, |builder, x| {
        let x = around_the_image(PadMode::Constant(0.0))(builder, x)?;
        let mut by = convolution();
        by.windows[1].padding = Padding::Same;
        Ok(vec![builder.convolution(x, by)?])
    });
    check_same(fold_padding, |builder, x| {
        let x = builder.pad(x, &[[0, 0], [0, 0], [0, 0], [1, 0]], PadMode::Constant(0.0))?;
        let kernel = Tensor::new(&[1, 1, 3, 3], [1.0; 9]);
        Ok(vec![builder.convolution(x, Convolution { kernel, ..convolution() })?])
    });
}

#[test]
fn what_depends_on_constants_alone_is_computed() {
    let graph = check(
        |graph| drop_dead_nodes(fold_constants(graph)),
        |builder, x| {
            let weights = builder.constant(&Tensor::vector([0.1, 16.0]))?;
            let third = builder.scalar(3.0)?;
            let weights = builder.binary(Binary::Divide, weights, third)?;
            let large = builder.compare_scalar(Comparison::Greater, weights, 1.0)?;
            let weights = builder.select(large, weights, third)?;
            let weights = builder.reshape(weights, Shape::known(&[1, 2]))?;
            let sum = builder.reduce_dropped(Reduction::Sum, weights, &[1])?;
            let x = builder.binary(Binary::Multiply, x, weights)?;
            Ok(vec![builder.binary(Binary::Add, x, sum)?])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = constant(0.1, 16.0) : [2]
        %2 = constant(3.0) : []
        %3 = divide(%1, %2) : [2]
        %4 = constant(1.0) : []
        %5 = greater(%3, %4) : [2]
        %6 = select(%5, %3, %2) : [2]
        %7 = reshape(%6) : [1, 2]
        %8 = sum(%7, axes [1]) : [1]
        %9 = multiply(%0, %7) : [batch, 6, 6, 2]
        %10 = add(%9, %8) : [batch, 6, 6, 2]
        outputs %10
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = constant(3.0, 5.3333335) : [1, 2]
        %2 = constant(8.333334) : [1]
        %3 = multiply(%0, %1) : [batch, 6, 6, 2]
        %4 = add(%3, %2) : [batch, 6, 6, 2]
        outputs %4
        ",
    );
    let Op::Constant(sum) = &graph.nodes[2].op else { panic!("{graph}") };
    assert_eq!(sum.values[0].to_bits(), (3.0_f32 + 16.0_f32 / 3.0).to_bits());
}

#[test]
fn constants_stay_that_were_not_read_or_are_too_large_to_be_computed() {
    check_same(fold_constants, |builder, x| {
        let weights = builder.constant(&Tensor::new(&[2], []))?;
        let weights = builder.unary(Unary::Negate, weights)?;
        Ok(vec![builder.binary(Binary::Add, x, weights)?])
    });
    check_same(fold_constants, |builder, x| {
        let column = builder.constant(&Tensor::new(&[1 << 12, 1], vec![1.0; 1 << 12]))?;
        let row = builder.constant(&Tensor::new(&[1, 1 << 12], vec![1.0; 1 << 12]))?;
        let matrix = builder.binary(Binary::Add, column, row)?;
        let sum = builder.reduce_kept(Reduction::Sum, matrix, &[0, 1])?;
        Ok(vec![builder.binary(Binary::Add, x, sum)?])
    });
}

#[test]
fn one_reshape_remains_of_two_and_one_transpose() {
    check(
        join_rearrangements,
        |builder, x| {
            let first = builder.transpose(x, &[0, 3, 1, 2])?;
            let back = builder.transpose(first, &[0, 2, 3, 1])?;
            let other = builder.transpose(first, &[0, 2, 1, 3])?;
            let x = builder.binary(Binary::Add, back, x)?;
            let flat = builder.reshape(x, Shape::batched([72]))?;
            let folded = builder.reshape(flat, Shape(vec![Size::Batch(36), Size::Known(2)]))?;
            let same = builder.reshape(folded, Shape::batched([6, 6, 2]))?;
            let half =
                builder.slice(same, &[Range::WHOLE, Range::WHOLE, Range::WHOLE, Range::between(0, 1)])?;
            Ok(vec![half, folded, other])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = transpose(%0, order [0, 3, 1, 2]) : [batch, 2, 6, 6]
        %2 = transpose(%1, order [0, 2, 3, 1]) : [batch, 6, 6, 2]
        %3 = transpose(%1, order [0, 2, 1, 3]) : [batch, 6, 2, 6]
        %4 = add(%2, %0) : [batch, 6, 6, 2]
        %5 = reshape(%4) : [batch, 72]
        %6 = reshape(%5) : [batch * 36, 2]
        %7 = reshape(%6) : [batch, 6, 6, 2]
        %8 = slice(%7, [:, :, :, 0:1]) : [batch, 6, 6, 1]
        outputs %8, %6, %3
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = transpose(%0, order [0, 3, 1, 2]) : [batch, 2, 6, 6]
        %2 = transpose(%0, order [0, 1, 2, 3]) : [batch, 6, 6, 2]
        %3 = transpose(%0, order [0, 1, 3, 2]) : [batch, 6, 2, 6]
        %4 = add(%0, %0) : [batch, 6, 6, 2]
        %5 = reshape(%4) : [batch, 72]
        %6 = reshape(%4) : [batch * 36, 2]
        %7 = reshape(%4) : [batch, 6, 6, 2]
        %8 = slice(%4, [:, :, :, 0:1]) : [batch, 6, 6, 1]
        outputs %8, %6, %3
        ",
    );
}

#[test]
fn what_no_output_depends_on_is_dropped() {
    check(
        drop_dead_nodes,
        |builder, x| {
            let unread = builder.unary(Unary::Exp, x)?;
            let kept = builder.unary(Unary::Relu, x)?;
            builder.binary(Binary::Add, unread, kept)?;
            let last = builder.unary(Unary::Sqrt, kept)?;
            builder.scalar(1.0)?;
            Ok(vec![last, kept])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = exp(%0) : [batch, 6, 6, 2]
        %2 = relu(%0) : [batch, 6, 6, 2]
        %3 = add(%1, %2) : [batch, 6, 6, 2]
        %4 = sqrt(%2) : [batch, 6, 6, 2]
        %5 = constant(1.0) : []
        outputs %4, %2
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = relu(%0) : [batch, 6, 6, 2]
        %2 = sqrt(%1) : [batch, 6, 6, 2]
        outputs %2, %1
        ",
    );
}

#[test]
fn the_input_stays_even_if_nothing_depends_on_it() {
    check(
        standard,
        |builder, _| {
            let two = builder.scalar(2.0)?;
            Ok(vec![builder.unary(Unary::Square, two)?])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = constant(2.0) : []
        %2 = square(%1) : []
        outputs %2
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = constant(4.0) : []
        outputs %1
        ",
    );
}

/// A block of a network, of which a computed constant, padding and normalizations are left to fold, through transposes and past
/// a node that nothing reads.
#[test]
fn passes_work_together() {
    check(
        standard,
        |builder, x| {
            let first = builder.transpose(x, &[0, 3, 1, 2])?;
            let x = builder.transpose(first, &[0, 2, 3, 1])?;
            let x = around_the_image(PadMode::Constant(0.0))(builder, x)?;
            builder.unary(Unary::Exp, x)?;
            let x = builder.convolution(x, convolution())?;
            let x = builder.batch_norm(x, batch_norm(3))?;
            let x = builder.batch_norm(x, batch_norm(3))?;
            let limit = builder.scalar(3.0)?;
            let limit = builder.with_scalar(Binary::Multiply, limit, 2.0)?;
            Ok(vec![builder.binary(Binary::Minimum, x, limit)?])
        },
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = transpose(%0, order [0, 3, 1, 2]) : [batch, 2, 6, 6]
        %2 = transpose(%1, order [0, 2, 3, 1]) : [batch, 6, 6, 2]
        %3 = pad(%2, edges [[0, 0], [1, 2], [0, 3], [0, 0]], 0.0) : [batch, 9, 9, 2]
        %4 = exp(%3) : [batch, 9, 9, 2]
        %5 = convolution(%3, kernel [1, 1, 2, 3], bias [3]) : [batch, 9, 9, 3]
        %6 = batch_norm(%5, axis 3, gamma, beta, epsilon 0.25) : [batch, 9, 9, 3]
        %7 = batch_norm(%6, axis 3, gamma, beta, epsilon 0.25) : [batch, 9, 9, 3]
        %8 = constant(3.0) : []
        %9 = constant(2.0) : []
        %10 = multiply(%8, %9) : []
        %11 = minimum(%7, %10) : [batch, 9, 9, 3]
        outputs %11
        ",
        "
        %0 = input() : [batch, 6, 6, 2]
        %1 = convolution(%0, kernel [1, 1, 2, 3], bias [3], padding [[1, 2], [0, 3]]) : [batch, 9, 9, 3]
        %2 = constant(6.0) : []
        %3 = minimum(%1, %2) : [batch, 9, 9, 3]
        outputs %3
        ",
    );
}
