//! What moves windows over images.

use model::{
    BatchNorm, Binary, Convolution, ConvolutionTranspose, Padding, PoolKind, Size, Tensor, Unary, Window,
};

use super::{IMAGE, check, numbers};

/// Windows of every kind: of several sizes, strides, dilations and paddings.
fn windows() -> Vec<[Window; 2]> {
    let around = |before, after| Padding::Explicit { before, after };
    let mut all = Vec::new();
    for (stride, dilation) in [([1, 1], [1, 1]), ([2, 2], [1, 1]), ([2, 1], [1, 1]), ([1, 1], [2, 1])] {
        for padding in [
            [Padding::Same; 2],
            [Padding::VALID; 2],
            [around(1, 1), around(0, 1)],
            [around(2, 0), Padding::Same],
        ] {
            let window = |axis: usize, size| Window {
                size,
                stride: stride[axis],
                dilation: dilation[axis],
                padding: padding[axis],
            };
            all.push([window(0, 3), window(1, 2)]);
        }
    }
    all
}

fn kernel(windows: [Window; 2], channels: usize, outputs: usize) -> Tensor {
    let shape = [windows[0].size, windows[1].size, channels, outputs];
    Tensor::new(&shape, numbers(shape.iter().product()))
}

#[test]
fn convolutions() {
    for windows in windows() {
        // Full, in groups, depthwise.
        for (groups, outputs) in [(1, 3), (2, 6), (4, 8)] {
            let bias = Some(Tensor::vector(numbers(outputs)));
            let kernel = kernel(windows, IMAGE[2] / groups, outputs);
            check(&format!("convolution {groups} {windows:?}"), |builder, x| {
                builder.convolution(x, Convolution { kernel, bias, windows, groups })
            });
        }
    }
}

#[test]
fn convolutions_with_what_follows_them() {
    for windows in windows() {
        let kernel = || kernel(windows, IMAGE[2], 4);
        for relu in [Unary::Relu, Unary::Relu6, Unary::Tanh] {
            check(&format!("convolution {relu:?} {windows:?}"), |builder, x| {
                let x = builder
                    .convolution(x, Convolution { kernel: kernel(), bias: None, windows, groups: 1 })?;
                builder.unary(relu, x)
            });
        }
        check(&format!("convolution and sum {windows:?}"), |builder, x| {
            let y =
                builder.convolution(x, Convolution { kernel: kernel(), bias: None, windows, groups: 1 })?;
            let kernel = kernel().map(|value| 1.0 - value);
            let z = builder.convolution(x, Convolution { kernel, bias: None, windows, groups: 1 })?;
            let sum = builder.binary(Binary::Add, y, z)?;
            builder.unary(Unary::Relu, sum)
        });
    }
}

#[test]
fn normalizations_go_into_convolutions() {
    for axis in [1, 2, 3] {
        let size = IMAGE.get(axis - 1).copied().unwrap();
        let positive = |size| Tensor::vector(numbers(size)).map(|value| value.abs() + 0.5);
        let norm = BatchNorm {
            axis,
            gamma: Some(Tensor::vector(numbers(size))),
            beta: (axis != 2).then(|| Tensor::vector(numbers(size)).map(|value| value + 0.25)),
            mean: Tensor::vector(numbers(size)).map(|value| value - 0.25),
            variance: positive(size),
            epsilon: 1e-3,
        };
        check(&format!("batch norm {axis}"), |builder, x| builder.batch_norm(x, norm.clone()));
        let windows = [Window::of(1); 2];
        check(&format!("convolution and batch norm {axis}"), |builder, x| {
            let kernel = kernel(windows, 1, 4);
            let x = builder.convolution(x, Convolution { kernel, bias: None, windows, groups: 4 })?;
            builder.batch_norm(x, norm)
        });
    }
}

#[test]
fn transposed_convolutions() {
    for windows in windows() {
        // The smallest output of which the convolution makes an image of this size.
        let size = |axis: usize| {
            let window = windows[axis];
            (1..40).find(|size| window.output(Size::Known(*size)) == Ok(Size::Known(IMAGE[axis]))).unwrap()
        };
        let kernel = kernel(windows, 3, IMAGE[2]);
        let bias = Some(Tensor::vector(numbers(3)));
        let size = [size(0), size(1)].map(Size::Known);
        check(&format!("transposed convolution {windows:?}"), |builder, x| {
            builder.convolution_transpose(x, ConvolutionTranspose { kernel, bias, windows, size })
        });
    }
}

#[test]
fn pooling() {
    for windows in windows() {
        // They touch: pooling has no dilation.
        let windows = windows.map(|window| Window { dilation: 1, ..window });
        for kind in [PoolKind::Average, PoolKind::Max] {
            check(&format!("{kind:?} {windows:?}"), |builder, x| builder.pool(x, kind, windows));
        }
    }
}

#[test]
fn patches() {
    for windows in windows() {
        check(&format!("patches {windows:?}"), |builder, x| builder.patches(x, windows));
    }
}
