//! The shape of each primitive's output, and the faults of inputs that do not fit.

use model::{
    BatchNorm, Binary, Builder, Comparison, Convolution, ConvolutionTranspose, Equation, Fault,
    Interpolation, Op, PadMode, Padding, PoolKind, Range, Reduction, Resize, Shape, Size, Tensor, Unary,
    Value, Window,
};

/// Builds from a batch of values of these sizes; 0 stands for a size that is open.
fn on(sizes: &[usize], build: impl FnOnce(&mut Builder, Value) -> Result<Value, Fault>) -> String {
    let mut builder = Builder::new();
    let sizes = sizes.iter().map(|size| if *size == 0 { Size::Open } else { Size::Known(*size) });
    let input = builder.input(Shape::batched(sizes)).unwrap();
    match build(&mut builder, input) {
        Ok(value) => builder.shape(value).to_string(),
        Err(Fault(fault)) => fault,
    }
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::new(shape, vec![0.0; shape.iter().product()])
}

fn same(size: usize, stride: usize) -> Window {
    Window { size, stride, dilation: 1, padding: Padding::Same }
}

fn convolution(kernel: [usize; 4], window: impl Fn(usize) -> Window, groups: usize) -> Convolution {
    let windows = [window(kernel[0]), window(kernel[1])];
    Convolution { kernel: zeros(&kernel), bias: None, windows, groups }
}

#[test]
fn convolutions() {
    let check = |sizes: &[usize], by: Convolution, expected| {
        assert_eq!(on(sizes, |builder, x| builder.convolution(x, by)), expected);
    };
    let valid = Window::of;
    // As `keras.layers.Conv2D` and `DepthwiseConv2D` compute their output shapes.
    check(&[224, 224, 3], convolution([3, 3, 3, 32], |size| same(size, 2), 1), "[batch, 112, 112, 32]");
    check(&[9, 7, 4], convolution([3, 2, 4, 6], valid, 1), "[batch, 7, 6, 6]");
    check(&[9, 7, 4], convolution([3, 2, 1, 8], valid, 4), "[batch, 7, 6, 8]");
    check(&[9, 7, 4], convolution([3, 2, 2, 6], valid, 2), "[batch, 7, 6, 6]");
    let wide = |size| Window { dilation: 2, ..Window::of(size) };
    check(&[9, 7, 4], convolution([3, 3, 4, 6], wide, 1), "[batch, 5, 3, 6]");
    let padded = |size| Window { padding: Padding::Explicit { before: 1, after: 2 }, ..Window::of(size) };
    check(&[9, 7, 4], convolution([3, 3, 4, 6], padded, 1), "[batch, 10, 8, 6]");
    check(&[0, 7, 4], convolution([3, 3, 4, 6], valid, 1), "[batch, ?, 5, 6]");

    let faults = [
        (&[9, 7][..], [3, 3, 4, 6], 1, "its input has shape [9, 7], expected [height, width, channels]"),
        (&[9, 7, 5], [3, 3, 4, 6], 1, "its input has shape [9, 7, 5], expected 4 on the last axis"),
        (&[9, 7, 4], [3, 3, 2, 7], 2, "its 7 outputs cannot be divided among 2 groups"),
        (&[9, 3, 4], [3, 5, 4, 6], 1, "its window of 5 does not fit its input of 3 pixels"),
    ];
    for (sizes, kernel, groups, fault) in faults {
        check(sizes, convolution(kernel, valid, groups), fault);
    }
    let by = Convolution { windows: [valid(2); 2], ..convolution([3, 3, 4, 6], valid, 1) };
    check(&[9, 7, 4], by, "its kernel has shape [3, 3, 4, 6], but its window [2, 2]");
    let by = Convolution { bias: Some(zeros(&[5])), ..convolution([3, 3, 4, 6], valid, 1) };
    check(&[9, 7, 4], by, "its bias has shape [5], expected [6]");
}

#[test]
fn transposed_convolutions() {
    let check = |window: fn(usize) -> Window, size: [usize; 2], expected| {
        let windows = [window(3); 2];
        let size = size.map(Size::Known);
        let by = ConvolutionTranspose { kernel: zeros(&[3, 3, 2, 4]), bias: None, windows, size };
        assert_eq!(on(&[5, 6, 4], |builder, x| builder.convolution_transpose(x, by)), expected);
    };
    // As `keras.layers.Conv2DTranspose` computes its output shape, without and with an `output_padding`.
    check(|size| same(size, 2), [10, 12], "[batch, 10, 12, 2]");
    check(|size| Window { stride: 2, ..Window::of(size) }, [11, 13], "[batch, 11, 13, 2]");
    check(|size| Window { stride: 2, ..Window::of(size) }, [12, 14], "[batch, 12, 14, 2]");
    check(
        |size| Window { stride: 2, ..Window::of(size) },
        [13, 13],
        "its output of 13 pixels is not what its windows make of an input of 5",
    );
}

#[test]
fn windows_and_blocks() {
    let windows = [same(2, 2), Window::of(3)];
    let check = |sizes: &[usize], op: Op, expected| {
        assert_eq!(on(sizes, |builder, x| builder.add(op.clone(), &[x])), expected, "{op:?}");
    };
    // As `tf.nn.max_pool2d`, `tf.image.extract_patches`, `tf.nn.space_to_depth`, `tf.nn.depth_to_space`.
    check(&[9, 7, 4], Op::Pool { kind: PoolKind::Max, windows }, "[batch, 5, 5, 4]");
    let pool = |window| Op::Pool { kind: PoolKind::Average, windows: [Window::of(1), window] };
    let wide = Window { dilation: 2, ..Window::of(2) };
    check(&[9, 7, 4], pool(wide), "its window has dilation 2, expected 1");
    let beyond = |after| Window { padding: Padding::Explicit { before: 0, after }, ..Window::of(2) };
    check(&[9, 7, 4], pool(beyond(1)), "[batch, 9, 7, 4]");
    check(&[9, 7, 4], pool(beyond(2)), "its padding of 2 is not less than its window of 2");
    check(&[9, 7, 4], Op::Patches { windows }, "[batch, 5, 5, 24]");
    check(&[8, 6, 4], Op::SpaceToDepth { block: 2 }, "[batch, 4, 3, 16]");
    check(
        &[9, 6, 4],
        Op::SpaceToDepth { block: 2 },
        "its input has shape [9, 6, 4], which blocks of 2 do not fill",
    );
    check(&[4, 3, 16], Op::DepthToSpace { block: 2 }, "[batch, 8, 6, 4]");
    let resize = |size| Op::Resize(Resize { size, interpolation: Interpolation::Bilinear, antialias: false });
    check(&[4, 3, 16], resize([5.into(), 6.into()]), "[batch, 5, 6, 16]");
    check(&[4, 3, 16], resize([Size::Open, 6.into()]), "[batch, ?, 6, 16]");
}

#[test]
fn operands_broadcast_as_in_numpy_and_images_never_meet() {
    let check = |sizes: &[usize], constant: &[usize], expected| {
        let found = on(sizes, |builder, x| builder.with_constant(Binary::Add, x, &zeros(constant)));
        assert_eq!(found, expected, "{sizes:?} {constant:?}");
    };
    check(&[4, 3], &[], "[batch, 4, 3]");
    check(&[4, 3], &[3], "[batch, 4, 3]");
    check(&[4, 1], &[1, 4, 3], "[batch, 4, 3]");
    check(&[0, 3], &[5, 1], "[batch, 5, 3]");
    check(&[4, 3], &[5], "its operands have shapes [batch, 4, 3] and [5], which do not fit");
    check(&[3], &[7, 3], "its operands have shapes [batch, 3] and [7, 3], which do not fit");
    check(&[3], &[1, 1, 3], "its operands have shapes [batch, 3] and [1, 1, 3], which do not fit");
    let found = on(&[1, 3], |builder, x| {
        let vector = builder.squeeze(x, 1)?;
        builder.binary(Binary::Add, x, vector)
    });
    assert_eq!(found, "its operands have shapes [batch, 1, 3] and [batch, 3], which do not fit");
}

#[test]
fn values_of_different_rows_are_not_joined() {
    let found = on(&[4, 3], |builder, x| {
        let folded = builder.reshape(x, Shape(vec![Size::Batch(4), Size::Known(3)]))?;
        let unfolded = builder.flatten(x)?;
        let wide = builder.slice(unfolded, &[Range::WHOLE, Range::between(0, 3)])?;
        builder.binary(Binary::Multiply, folded, wide)
    });
    assert_eq!(
        found,
        "it joins values of which a reshape folded some into the batch, expected all or none of them there"
    );
}

#[test]
fn matrix_products() {
    let by_constant = |sizes: &[usize], shape: &[usize], left: bool| {
        on(sizes, |builder, x| {
            let other = builder.constant(&zeros(shape))?;
            if left { builder.matrix_product(other, x) } else { builder.matrix_product(x, other) }
        })
    };
    // As the shapes of `numpy.matmul`.
    assert_eq!(by_constant(&[10], &[10, 5], false), "[batch, 5]");
    assert_eq!(by_constant(&[4, 10], &[10, 5], false), "[batch, 4, 5]");
    assert_eq!(by_constant(&[2, 4, 10], &[2, 10, 5], false), "[batch, 2, 4, 5]");
    assert_eq!(by_constant(&[4, 10], &[3, 4], true), "[batch, 3, 10]");
    let fault = "its operands have shapes [batch, 10] and [9, 5], which do not fit";
    assert_eq!(by_constant(&[10], &[9, 5], false), fault);
    let fault = "its operands have shapes [3, 4] and [batch, 10], which do not fit";
    assert_eq!(by_constant(&[10], &[3, 4], true), fault, "the sum would be over the images");

    assert_eq!(on(&[4, 10], |builder, x| builder.times_transpose(x, x)), "[batch, 4, 4]");
    let fault = "its operands have shapes [batch, 10] and [10, batch], which do not fit";
    assert_eq!(on(&[10], |builder, x| builder.times_transpose(x, x)), fault, "each image with each");
}

#[test]
fn einsums() {
    let equation = |operands: &[&str], output: &str| Equation {
        operands: operands.iter().map(|operand| operand.chars().collect()).collect(),
        output: output.chars().collect(),
    };
    let check = |operands: &[&str], output: &str, expected| {
        let equation = equation(operands, output);
        let found = on(&[4, 3], |builder, x| {
            let kernel = builder.constant(&zeros(&[3, 2, 5]))?;
            builder.einsum(&equation, &[x, kernel])
        });
        assert_eq!(found, expected);
    };
    // As the shapes of `numpy.einsum`.
    check(&["abc", "cde"], "abde", "[batch, 4, 2, 5]");
    check(&["abc", "cde"], "aed", "[batch, 5, 2]");
    check(&["abc", "bde"], "aed", "its equation is abc,bde->aed, but `b` has two sizes");
    check(&["abc", "cde"], "bde", "its equation is abc,cde->bde, which sums over the batch");
    check(&["ab", "cde"], "abd", "its equation is ab,cde->abd, but an operand has shape [batch, 4, 3]");
}

#[test]
fn reductions_and_what_works_along_an_axis() {
    let sum =
        |axes: &'static [usize]| on(&[4, 3, 2], |builder, x| builder.reduce_dropped(Reduction::Sum, x, axes));
    assert_eq!(sum(&[1, 3]), "[batch, 3]");
    assert_eq!(sum(&[0]), "it works over the batch, expected an axis after it");
    assert_eq!(sum(&[4]), "its input has shape [4, 3, 2], expected more axes");
    assert_eq!(sum(&[2, 1]), "`axis` is [2, 1], expected axes of its input, each once");
    assert_eq!(sum(&[]), "[batch, 4, 3, 2]");
    assert_eq!(on(&[4, 3], |builder, x| builder.reduce_kept(Reduction::Mean, x, &[1])), "[batch, 1, 3]");
    assert_eq!(on(&[4, 3], |builder, x| builder.softmax(x, 2)), "[batch, 4, 3]");
    let fault = "its input has shape [4, ?], expected a fixed size on axis 2";
    assert_eq!(on(&[4, 0], |builder, x| builder.sort(x, 2)), fault);

    let norm = |size: usize, others: usize| BatchNorm {
        axis: 1,
        gamma: Some(zeros(&[others])),
        beta: None,
        mean: zeros(&[size]),
        variance: zeros(&[size]),
        epsilon: 0.001,
    };
    assert_eq!(on(&[4, 3], |builder, x| builder.batch_norm(x, norm(4, 4))), "[batch, 4, 3]");
    let fault = "its input has shape [4, 3], expected 3 on axis 1";
    assert_eq!(on(&[4, 3], |builder, x| builder.batch_norm(x, norm(3, 3))), fault);
    let fault = "its weights differ in length, expected 4 values in each";
    assert_eq!(on(&[4, 3], |builder, x| builder.batch_norm(x, norm(4, 3))), fault);
}

#[test]
fn selections_take_three_operands() {
    let found = on(&[4, 3], |builder, x| {
        let positive = builder.compare_scalar(Comparison::Greater, x, 0.0)?;
        let otherwise = builder.constant(&zeros(&[4, 1]))?;
        builder.select(positive, x, otherwise)
    });
    assert_eq!(found, "[batch, 4, 3]");
    let found = on(&[4, 3], |builder, x| builder.add(Op::Select, &[x, x]));
    assert_eq!(found, "it is called on 2 inputs, expected 3");
    assert_eq!(on(&[3], |builder, x| builder.unary(Unary::Erf, x)), "[batch, 3]");
    assert_eq!(on(&[3], |builder, x| builder.full_like(x, 2.0)), "[batch, 3]");
}

#[test]
fn reshapes_keep_each_image_together() {
    let check = |sizes: &[usize], shape: Vec<Size>, expected| {
        assert_eq!(on(sizes, |builder, x| builder.reshape(x, Shape(shape))), expected);
    };
    let (batch, known) = (Size::Batch, Size::Known);
    check(&[4, 6], vec![batch(1), known(3), known(8)], "[batch, 3, 8]");
    check(&[4, 6], vec![batch(4), known(6)], "[batch * 4, 6]");
    check(&[4, 0], vec![batch(1), Size::Open, known(2)], "[batch, ?, 2]");
    check(&[0, 6], vec![Size::Open, known(6)], "[?, 6]");
    check(&[4, 6], vec![batch(1), known(5)], "its input has shape [4, 6], which cannot become [5]");
    check(&[4, 6], vec![batch(5), known(6)], "its input has shape [4, 6], which cannot become [6]");
    check(&[4, 6], vec![known(24)], "its input has shape [4, 6], which cannot become [24]");
    check(&[4, 6], vec![known(24), batch(1)], "its input has shape [4, 6], which cannot become [24, batch]");
    assert_eq!(on(&[4, 6], |builder, x| builder.flatten(x)), "[batch, 24]");
    assert_eq!(on(&[4, 0], |builder, x| builder.flatten(x)), "[batch, ?]");
    assert_eq!(on(&[4, 6], |builder, x| builder.expand(x, 1)), "[batch, 1, 4, 6]");
    assert_eq!(on(&[1, 6], |builder, x| builder.squeeze(x, 1)), "[batch, 6]");
    let fault = "its input has shape [4, 6], expected size 1 on axis 1";
    assert_eq!(on(&[4, 6], |builder, x| builder.squeeze(x, 1)), fault);
}

#[test]
fn values_that_are_moved() {
    let check = |sizes: &[usize], op: Op, expected| {
        assert_eq!(on(sizes, |builder, x| builder.add(op.clone(), &[x])), expected, "{op:?}");
    };
    check(&[4, 3], Op::Transpose { order: vec![1, 0, 2] }, "[4, batch, 3]");
    check(
        &[4, 3],
        Op::Transpose { order: vec![0, 1, 1] },
        "its order of axes is [0, 1, 1], expected every axis of [batch, 4, 3] once",
    );
    let ranges = |step| vec![Range::WHOLE, Range { start: Some(-3), stop: None, step }, Range::WHOLE];
    check(&[4, 3], Op::Slice { ranges: ranges(2) }, "[batch, 2, 3]");
    check(&[4], Op::Slice { ranges: ranges(2) }, "its input has shape [4], expected more axes");
    check(&[4, 3, 2], Op::Slice { ranges: ranges(2) }, "its input has shape [4, 3, 2], expected fewer axes");
    let nothing = vec![Range::WHOLE, Range::between(3, 3)];
    check(&[4], Op::Slice { ranges: nothing }, "it takes nothing out of an axis of [4]");
    let first = vec![Range::between(0, 1), Range::WHOLE];
    check(&[4], Op::Slice { ranges: first }, "it works over the batch, expected an axis after it");

    let pad = |mode| Op::Pad { edges: vec![[0, 0], [2, 1]], mode };
    check(&[2], pad(PadMode::Constant(0.0)), "[batch, 5]");
    check(&[2], pad(PadMode::Symmetric), "[batch, 5]");
    check(&[2], pad(PadMode::Reflect), "it mirrors more than there is of an axis of 2");
    check(&[2, 3], pad(PadMode::Reflect), "its input has shape [2, 3], expected 2 axes");
    check(&[4], Op::Gather { axis: 1, indices: [0, 3, 3, 1, 1].into() }, "[batch, 5]");
    check(
        &[4],
        Op::Gather { axis: 1, indices: [4].into() },
        "its input has shape [4], expected a larger one",
    );
}

#[test]
fn concatenations() {
    let with = |shape: &'static [usize], axis| {
        on(&[4, 3], |builder, x| {
            let sizes = shape.iter().map(|size| Range::between(0, *size));
            let ranges: Vec<Range> = std::iter::once(Range::WHOLE).chain(sizes).collect();
            let part = builder.slice(x, &ranges)?;
            builder.concatenate(&[x, part], axis)
        })
    };
    assert_eq!(with(&[2, 3], 1), "[batch, 6, 3]");
    assert_eq!(with(&[4, 1], 2), "[batch, 4, 4]");
    let fault = "its inputs have shapes [4, 3] and [2, 3], expected equal sizes but for axis 2";
    assert_eq!(with(&[2, 3], 2), fault);
    assert_eq!(with(&[2, 3], 0), "it works over the batch, expected an axis after it");
}
