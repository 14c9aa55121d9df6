//! The reference interpreter against TensorFlow and NumPy: `fixtures/operations/make.py` says what each case computes.

use std::collections::{BTreeMap, BTreeSet};

use model::reference::{Array, Budget, evaluate};
use model::{
    BatchNorm, Binary, Builder, Convolution, ConvolutionTranspose, Equation, Fault, Interpolation, Op,
    PadMode, Padding, PoolKind, Range, Reduce, Reduction, Resize, Shape, Size, Tensor, Value, Window,
};
use serde_json::Value as Json;
use testing::graphs::{BINARIES, COMPARISONS, FUNCTIONS};

#[derive(serde::Deserialize)]
struct Case {
    inputs: Vec<Given>,
    output: Given,
    tolerance: f64,
}

#[derive(serde::Deserialize)]
struct Given {
    shape: Vec<usize>,
    values: Vec<Json>,
}

impl Given {
    fn array(&self) -> Array {
        let number = |value: &Json| match value.as_str() {
            Some(special) => special.parse().unwrap(),
            None => value.as_f64().unwrap(),
        };
        Array { shape: self.shape.clone(), values: self.values.iter().map(number).collect() }
    }

    /// Its numbers are exact in float32.
    fn tensor(&self) -> Tensor {
        Tensor::new(&self.shape, self.array().values.iter().map(|value| *value as f32).collect::<Vec<_>>())
    }
}

/// The cases of the file, and which of them a test has checked.
struct Cases {
    all: BTreeMap<String, Case>,
    checked: BTreeSet<String>,
}

impl Cases {
    fn read() -> Self {
        let all = serde_json::from_str(include_str!("../fixtures/operations/cases.json")).unwrap();
        Self { all, checked: BTreeSet::new() }
    }

    /// Checks an operation of the images and, as constants, all other inputs of the case.
    fn check(&mut self, name: &str, op: Op) {
        self.check_with(name, |builder, x, others| {
            let constants = others.iter().map(|other| builder.constant(other));
            let inputs = [Ok(x)].into_iter().chain(constants).collect::<Result<Vec<_>, _>>()?;
            builder.add(op, &inputs)
        });
    }

    /// Checks what is built of the images with the other inputs of the case.
    fn check_with(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Builder, Value, &[Tensor]) -> Result<Value, Fault>,
    ) {
        let case = self.all.get(name).unwrap_or_else(|| panic!("there is no case `{name}`"));
        let [images, others @ ..] = &case.inputs[..] else { panic!("{name} has no input") };
        let others: Vec<Tensor> = others.iter().map(Given::tensor).collect();
        let mut builder = Builder::new();
        let x = builder.input(Shape::batched(images.shape[1..].to_vec())).unwrap();
        let output = build(&mut builder, x, &others).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let graph = builder.finish(vec![output]).unwrap();
        let found = evaluate(&graph, &images.array(), Budget::default()).unwrap().remove(0);
        compare(name, &found, &case.output.array(), case.tolerance);
        self.checked.insert(name.to_owned());
    }
}

fn compare(name: &str, found: &Array, expected: &Array, tolerance: f64) {
    assert_eq!(found.shape, expected.shape, "{name}");
    let finite = expected.values.iter().filter(|value| value.is_finite());
    let largest = finite.fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.values.iter().zip(&expected.values).enumerate() {
        let same = found == expected || found.is_nan() && expected.is_nan();
        let is_close = same || (found - expected).abs() <= tolerance * largest;
        assert!(is_close, "{name}: value {index} is {found}, expected {expected}");
    }
}

const VALID: [Padding; 2] = [Padding::VALID; 2];
const SAME: [Padding; 2] = [Padding::Same; 2];

fn windows(size: [usize; 2], stride: [usize; 2], padding: [Padding; 2]) -> [Window; 2] {
    [0, 1].map(|axis| Window { stride: stride[axis], padding: padding[axis], ..Window::of(size[axis]) })
}

fn dilated(windows: [Window; 2], by: [usize; 2]) -> [Window; 2] {
    [0, 1].map(|axis| Window { dilation: by[axis], ..windows[axis] })
}

/// A test checks all cases at once, so that one that no line checks is noticed.
#[test]
fn operations_are_those_of_tensorflow_and_numpy() {
    let mut cases = Cases::read();
    functions(&mut cases);
    axes(&mut cases);
    moves(&mut cases);
    products(&mut cases);
    transposed_convolutions(&mut cases);
    images(&mut cases);
    resizes(&mut cases);
    let all: BTreeSet<String> = cases.all.into_keys().collect();
    assert_eq!(all.difference(&cases.checked).collect::<Vec<_>>(), Vec::<&String>::new(), "not checked");
}

fn functions(cases: &mut Cases) {
    for function in FUNCTIONS {
        cases.check(function.name(), Op::Unary(function));
    }
    for function in BINARIES {
        cases.check(function.name(), Op::Binary(function));
    }
    for by in COMPARISONS {
        cases.check(by.name(), Op::Compare(by));
    }
    cases.check("add_broadcast", Op::Binary(Binary::Add));
    cases.check("select", Op::Select);
    cases.check("full_like", Op::FullLike { value: 0.75 });
}

fn axes(cases: &mut Cases) {
    for kind in [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Product] {
        cases.check(kind.name(), Op::Reduce(Reduce { kind, axes: vec![1, 3], keeps_axes: false }));
        let kept = Reduce { kind, axes: vec![2], keeps_axes: true };
        cases.check(&format!("{}_kept", kind.name()), Op::Reduce(kept));
    }
    cases.check("softmax", Op::Softmax { axis: 2 });
    cases.check("softmax_large", Op::Softmax { axis: 1 });
    cases.check("log_softmax_large", Op::LogSoftmax { axis: 1 });
    cases.check("log_softmax", Op::LogSoftmax { axis: 1 });
    cases.check("sort", Op::Sort { axis: 2 });
    cases.check("cumulative_sum", Op::CumulativeSum { axis: 1 });
    let epsilon = 1.0 / 1024.0;
    cases.check_with("batch_norm", |builder, x, weights| {
        let [gamma, beta, mean, variance] = weights else { panic!("{weights:?}") };
        let [gamma, beta] = [gamma, beta].map(|weight| Some(weight.clone()));
        let (mean, variance) = (mean.clone(), variance.clone());
        builder.batch_norm(x, BatchNorm { axis: 1, gamma, beta, mean, variance, epsilon })
    });
    cases.check_with("batch_norm_plain", |builder, x, weights| {
        let [mean, variance] = weights else { panic!("{weights:?}") };
        let (mean, variance) = (mean.clone(), variance.clone());
        builder.batch_norm(x, BatchNorm { axis: 1, gamma: None, beta: None, mean, variance, epsilon })
    });
}

fn moves(cases: &mut Cases) {
    let range = |start, stop, step| Range { start, stop, step };
    cases.check("reshape", Op::Reshape { shape: Shape::batched([15, 4]) });
    cases.check("fold", Op::Reshape { shape: Shape(vec![Size::Batch(3), Size::Known(20)]) });
    cases.check("transpose", Op::Transpose { order: vec![0, 3, 1, 2] });
    cases.check_with("concatenate", |builder, x, _| {
        let mut part = |range| builder.slice(x, &[Range::WHOLE, Range::WHOLE, range, Range::WHOLE]);
        let (last, first) = (part(range(Some(3), None, 1))?, part(range(None, Some(1), 1))?);
        builder.concatenate(&[x, last, first], 2)
    });
    let ranges = [Range::WHOLE, range(Some(1), None, 1), range(None, None, -2), range(Some(-3), Some(-1), 1)];
    cases.check("slice", Op::Slice { ranges: ranges.to_vec() });
    let ranges =
        [Range::WHOLE, range(Some(2), None, -1), range(Some(3), Some(0), -2), range(Some(1), None, 2)];
    cases.check("slice_back", Op::Slice { ranges: ranges.to_vec() });
    let edges = vec![[0, 0], [2, 1], [1, 0], [0, 3]];
    for (name, mode) in [
        ("pad_constant", PadMode::Constant(0.5)),
        ("pad_reflect", PadMode::Reflect),
        ("pad_symmetric", PadMode::Symmetric),
    ] {
        cases.check(name, Op::Pad { edges: edges.clone(), mode });
    }
    cases.check("gather", Op::Gather { axis: 2, indices: [4, 0, 0, 2].into() });
    cases.check("space_to_depth", Op::SpaceToDepth { block: 2 });
    cases.check("depth_to_space", Op::DepthToSpace { block: 3 });
}

fn products(cases: &mut Cases) {
    cases.check("matrix_product", Op::MatrixProduct { transposed: [false, false] });
    cases.check_with("matrix_product_of_two", |builder, x, _| builder.times_transpose(x, x));
    cases.check("matrix_product_transposed", Op::MatrixProduct { transposed: [true, true] });
    let equation = |operands: &[&str], output: &str| {
        let operands = operands.iter().map(|letters| letters.chars().collect()).collect();
        Op::Einsum(Equation { operands, output: output.chars().collect() })
    };
    cases.check("einsum", equation(&["abc", "cde"], "aebd"));
    cases.check("einsum_summed", equation(&["abc", "bc"], "a"));
    cases.check("einsum_of_one", equation(&["abc"], "ca"));

    let padded = |before, after| Padding::Explicit { before, after };
    let mut check = |name: &str, windows, groups| {
        cases.check_with(name, |builder, x, weights| {
            let (kernel, bias) = (weights[0].clone(), weights.get(1).cloned());
            builder.convolution(x, Convolution { kernel, bias, windows, groups })
        });
    };
    check("convolution_same", windows([3, 2], [2, 2], SAME), 1);
    check("convolution_valid", windows([3, 2], [1, 3], VALID), 1);
    check("convolution_dilated", dilated(windows([3, 2], [1, 1], SAME), [2, 3]), 1);
    check("convolution_padded", windows([3, 2], [2, 1], [padded(1, 2), padded(0, 3)]), 1);
    check("convolution_grouped", windows([3, 3], [1, 1], SAME), 2);
    check("convolution_depthwise", windows([3, 3], [2, 2], SAME), 4);
}

fn transposed_convolutions(cases: &mut Cases) {
    let mut check = |name: &str, windows, size: [usize; 2]| {
        cases.check_with(name, |builder, x, weights| {
            let (kernel, bias) = (weights[0].clone(), weights.get(1).cloned());
            let size = size.map(Size::Known);
            builder.convolution_transpose(x, ConvolutionTranspose { kernel, bias, windows, size })
        });
    };
    check("convolution_transpose_same", windows([3, 2], [2, 2], SAME), [8, 6]);
    check("convolution_transpose_odd", windows([3, 2], [2, 3], SAME), [7, 8]);
    check("convolution_transpose_valid", windows([3, 2], [2, 1], VALID), [10, 4]);
    check("convolution_transpose_dilated", dilated(windows([3, 2], [1, 1], VALID), [2, 3]), [8, 6]);
}

fn images(cases: &mut Cases) {
    for (kind, name) in [(PoolKind::Average, "average_pool"), (PoolKind::Max, "max_pool")] {
        let mut check =
            |suffix, windows| cases.check(&format!("{name}_{suffix}"), Op::Pool { kind, windows });
        check("same", windows([3, 2], [2, 2], SAME));
        check("wide", windows([4, 5], [3, 1], SAME));
        check("valid", windows([2, 3], [1, 2], VALID));
    }
    cases.check("patches_valid", Op::Patches { windows: windows([3, 2], [2, 1], VALID) });
    cases.check("patches_same", Op::Patches { windows: dilated(windows([2, 3], [2, 2], SAME), [2, 1]) });
}

fn resizes(cases: &mut Cases) {
    for interpolation in [
        Interpolation::Nearest,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Area,
        Interpolation::Lanczos3,
        Interpolation::Lanczos5,
        Interpolation::Gaussian,
        Interpolation::MitchellCubic,
    ] {
        for (name, size) in [("smaller", [3, 2]), ("larger", [14, 10]), ("mixed", [5, 8]), ("equal", [7, 5])]
        {
            for (suffix, antialias) in [("", false), ("_antialias", true)] {
                let name = format!("resize_{}_{name}{suffix}", interpolation.name());
                let size = size.map(Size::Known);
                cases.check(&name, Op::Resize(Resize { size, interpolation, antialias }));
            }
        }
    }
}
