//! Decides which primitives of a model become one operation of TensorFlow.
//!
//! A convolution computes the sum of its result with another value, and the ReLU that follows either. The sum of a matrix
//! product and a vector is a bias, which TensorFlow's optimizer fuses with the product. Nothing is fused where somebody
//! else reads the value between.

use model::{Binary, Convolution, Graph, Op, Size, Unary, Value};

/// What is to be computed, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
}

/// One step: an operation, or several that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// The value that is known after it.
    pub(super) gives: Value,
    pub(super) work: Work,
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Work {
    /// The primitive that gives the value.
    Primitive,
    /// A convolution and what follows it.
    Convolution(Fusion),
    /// A matrix product plus a vector over its last axis.
    Bias {
        /// What the bias is added to.
        product: Value,
        /// A constant.
        bias: Value,
    },
}

/// A convolution and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fusion {
    pub(super) convolution: Value,
    /// What is added to its result, of the same shape.
    pub(super) addend: Option<Value>,
    /// What is applied at the end.
    pub(super) relu: Option<Relu>,
}

/// The functions that a fused convolution can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relu {
    Relu,
    Relu6,
}

impl Relu {
    fn of(op: &Op) -> Option<Self> {
        if *op == Op::Unary(Unary::Relu) {
            Some(Self::Relu)
        } else {
            (*op == Op::Unary(Unary::Relu6)).then_some(Self::Relu6)
        }
    }

    /// TensorFlow's name.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Relu => "Relu",
            Self::Relu6 => "Relu6",
        }
    }
}

impl Plan {
    /// Plans a graph. Constants are no steps: they are added where they are read.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut planner = Planner { graph, readers: graph.readers(), work: Vec::new() };
        for value in graph.values() {
            let work = planner.work_of(value);
            planner.work.push(work);
        }
        let steps = graph.values().zip(planner.work);
        Self { steps: steps.filter_map(|(gives, work)| Some(Step { gives, work: work? })).collect() }
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    readers: Vec<usize>,
    /// The work of each value so far. `None` for constants, and for what became a part of another step.
    work: Vec<Option<Work>>,
}

impl Planner<'_> {
    fn work_of(&mut self, value: Value) -> Option<Work> {
        let node = self.graph.node(value);
        match (&node.op, &node.inputs[..]) {
            (Op::Constant(_), _) => None,
            (Op::Convolution(_), _) => {
                Some(Work::Convolution(Fusion { convolution: value, addend: None, relu: None }))
            }
            (Op::Binary(Binary::Add), &[left, right]) => {
                // The second operand is tried first: in a residual network it is the new one.
                let sum = self.sum(value, right, left).or_else(|| self.sum(value, left, right));
                let bias = || self.bias(left, right).or_else(|| self.bias(right, left));
                Some(sum.map(Work::Convolution).or_else(bias).unwrap_or(Work::Primitive))
            }
            (op, &[input]) => {
                let fused = Relu::of(op).and_then(|relu| self.with_relu(input, relu));
                Some(fused.map_or(Work::Primitive, Work::Convolution))
            }
            _ => Some(Work::Primitive),
        }
    }

    /// Fuses a sum into the convolution that gives one of its operands.
    fn sum(&mut self, sum: Value, convolved: Value, addend: Value) -> Option<Fusion> {
        let fusion = self.unread(convolved)?;
        let convolution = &self.graph.node(fusion.convolution).op;
        let is_full = matches!(convolution, Op::Convolution(Convolution { groups: 1, .. }));
        let fits = [convolved, addend].iter().all(|value| self.shape_is_that_of(*value, sum));
        if !is_full || fusion.addend.is_some() || fusion.relu.is_some() || !fits || self.is_constant(addend) {
            return None;
        }
        self.work[convolved.index()] = None;
        Some(Fusion { addend: Some(addend), ..fusion })
    }

    fn with_relu(&mut self, convolved: Value, relu: Relu) -> Option<Fusion> {
        let fusion = self.unread(convolved)?;
        // TensorFlow fuses a sum with no other function.
        let fits = fusion.addend.is_none() || relu == Relu::Relu;
        if fusion.relu.is_some() || !fits {
            return None;
        }
        self.work[convolved.index()] = None;
        Some(Fusion { relu: Some(relu), ..fusion })
    }

    /// The convolution that computes this value, if the value has only one reader.
    fn unread(&self, value: Value) -> Option<Fusion> {
        let index = value.index();
        if let Some(Work::Convolution(fusion)) = self.work[index] {
            return (self.readers[index] == 1).then_some(fusion);
        }
        None
    }

    fn bias(&self, product: Value, bias: Value) -> Option<Work> {
        let is_product = matches!(self.graph.node(product).op, Op::MatrixProduct { .. });
        let size = match self.graph.node(bias).shape[..] {
            [Size::Known(size)] if self.is_constant(bias) => size,
            _ => return None,
        };
        let fits = self.graph.node(product).shape.last() == Some(&Size::Known(size));
        (is_product && fits).then_some(Work::Bias { product, bias })
    }

    fn is_constant(&self, value: Value) -> bool {
        matches!(self.graph.node(value).op, Op::Constant(_))
    }

    fn shape_is_that_of(&self, value: Value, other: Value) -> bool {
        self.graph.node(value).shape == self.graph.node(other).shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Builder, Fault, Shape, Tensor, Window};

    /// Checks the plan of what `build` adds to an image `[4, 4, 2]`. The expected text has a line for each step.
    fn check(build: impl FnOnce(&mut Builder, Value) -> Result<Vec<Value>, Fault>, expected: &[&str]) {
        let mut builder = Builder::new();
        let image = builder.input(Shape::batched([4, 4, 2])).unwrap();
        let outputs = build(&mut builder, image).unwrap();
        let graph = builder.finish(outputs).unwrap();
        let found: Vec<String> = Plan::of(&graph).steps.iter().map(|step| shown(&graph, step)).collect();
        assert_eq!(found, expected, "{graph}");
    }

    fn shown(graph: &Graph, step: &Step) -> String {
        let work = match &step.work {
            Work::Primitive => graph.node(step.gives).op.name().to_owned(),
            Work::Bias { product, bias } => format!("bias {bias} of {product}"),
            Work::Convolution(Fusion { convolution, addend, relu }) => {
                let addend = addend.map(|addend| format!(" + {addend}"));
                let relu = relu.map(|relu| format!(", {}", relu.kind()));
                [Some(format!("convolution {convolution}")), addend, relu].into_iter().flatten().collect()
            }
        };
        format!("{} = {work}", step.gives)
    }

    fn convolved(builder: &mut Builder, x: Value, groups: usize) -> Result<Value, Fault> {
        let kernel = Tensor::new(&[1, 1, 2 / groups, 2], vec![1.0; 4 / groups]);
        builder.convolution(x, Convolution { kernel, bias: None, windows: [Window::of(1); 2], groups })
    }

    #[test]
    fn a_relu_is_fused_into_the_convolution_before_it() {
        for (groups, function, name) in [(1, Unary::Relu, "Relu"), (2, Unary::Relu6, "Relu6")] {
            check(
                |builder, x| {
                    let x = convolved(builder, x, groups)?;
                    let x = builder.unary(function, x)?;
                    Ok(vec![builder.unary(Unary::Relu, x)?])
                },
                &["%0 = input", &format!("%2 = convolution %1, {name}"), "%3 = relu"],
            );
        }
        check(
            |builder, x| {
                let x = convolved(builder, x, 1)?;
                Ok(vec![builder.unary(Unary::Tanh, x)?])
            },
            &["%0 = input", "%1 = convolution %1", "%2 = tanh"],
        );
    }

    #[test]
    fn a_sum_is_fused_with_the_convolution_before_it_and_the_relu_after_it() {
        for is_first in [true, false] {
            check(
                |builder, x| {
                    let y = convolved(builder, x, 1)?;
                    let [left, right] = if is_first { [y, x] } else { [x, y] };
                    let sum = builder.binary(Binary::Add, left, right)?;
                    Ok(vec![builder.unary(Unary::Relu, sum)?])
                },
                &["%0 = input", "%3 = convolution %1 + %0, Relu"],
            );
        }
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                let z = convolved(builder, x, 1)?;
                let sum = builder.binary(Binary::Add, y, z)?;
                Ok(vec![builder.unary(Unary::Relu6, sum)?])
            },
            &["%0 = input", "%1 = convolution %1", "%3 = convolution %2 + %1", "%4 = relu6"],
        );
    }

    #[test]
    fn a_sum_leaves_a_convolution_alone_that_does_not_fit() {
        // Depthwise, with an activation of its own, of another shape, with a constant.
        check(
            |builder, x| {
                let y = convolved(builder, x, 2)?;
                Ok(vec![builder.binary(Binary::Add, x, y)?])
            },
            &["%0 = input", "%1 = convolution %1", "%2 = add"],
        );
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                let y = builder.unary(Unary::Relu, y)?;
                Ok(vec![builder.binary(Binary::Add, x, y)?])
            },
            &["%0 = input", "%2 = convolution %1, Relu", "%3 = add"],
        );
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                let mean = builder.reduce_kept(model::Reduction::Mean, x, &[1, 2])?;
                Ok(vec![builder.binary(Binary::Add, mean, y)?])
            },
            &["%0 = input", "%1 = convolution %1", "%2 = mean", "%3 = add"],
        );
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                Ok(vec![builder.with_constant(Binary::Add, y, &Tensor::vector([1.0, 2.0]))?])
            },
            &["%0 = input", "%1 = convolution %1", "%3 = add"],
        );
    }

    #[test]
    fn what_somebody_else_reads_stays_as_it_is() {
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                let relu = builder.unary(Unary::Relu, y)?;
                Ok(vec![relu, y])
            },
            &["%0 = input", "%1 = convolution %1", "%2 = relu"],
        );
        check(
            |builder, x| {
                let y = convolved(builder, x, 1)?;
                Ok(vec![builder.binary(Binary::Add, y, y)?])
            },
            &["%0 = input", "%1 = convolution %1", "%2 = add"],
        );
    }

    #[test]
    fn a_vector_over_the_last_axis_of_a_matrix_product_is_its_bias() {
        let kernel = Tensor::new(&[2, 3], vec![1.0; 6]);
        let check_bias = |bias: Tensor, is_first: bool, last: &str| {
            check(
                |builder, x| {
                    let kernel = builder.constant(&kernel)?;
                    let x = builder.matrix_product(x, kernel)?;
                    let bias = builder.constant(&bias)?;
                    let [left, right] = if is_first { [bias, x] } else { [x, bias] };
                    Ok(vec![builder.binary(Binary::Add, left, right)?])
                },
                &["%0 = input", "%2 = matrix_product", last],
            );
        };
        let vector = || Tensor::vector([1.0, 2.0, 3.0]);
        check_bias(vector(), false, "%4 = bias %3 of %2");
        check_bias(vector(), true, "%4 = bias %3 of %2");
        check_bias(vector().reshaped(&[1, 3]), false, "%4 = add");
        check_bias(Tensor::vector([1.0]), false, "%4 = add");
    }
}
