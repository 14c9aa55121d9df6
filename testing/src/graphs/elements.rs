//! Functions of elements, reductions, and what works along an axis.

use model::{BatchNorm, Binary, Comparison, Fault, Reduce, Reduction, Size, Tensor, Unary, Value};

use super::Drawing;

/// Every function of one element.
pub const FUNCTIONS: [Unary; 27] = [
    Unary::Relu,
    Unary::Relu6,
    Unary::LeakyRelu { slope: 0.25 },
    Unary::Elu,
    Unary::Selu,
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::Softplus,
    Unary::Softsign,
    Unary::Erf,
    Unary::Exp,
    Unary::Expm1,
    Unary::Log,
    Unary::Log1p,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Square,
    Unary::Abs,
    Unary::Negate,
    Unary::Reciprocal,
    Unary::Sin,
    Unary::Cos,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Sign,
    Unary::IsNan,
];

/// Every function of two elements.
pub const BINARIES: [Binary; 8] = [
    Binary::Add,
    Binary::Subtract,
    Binary::Multiply,
    Binary::Divide,
    Binary::Power,
    Binary::Maximum,
    Binary::Minimum,
    Binary::SquaredDifference,
];

/// Every comparison.
pub const COMPARISONS: [Comparison; 6] = [
    Comparison::Greater,
    Comparison::GreaterEqual,
    Comparison::Less,
    Comparison::LessEqual,
    Comparison::Equal,
    Comparison::NotEqual,
];

const REDUCTIONS: [Reduction; 5] =
    [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Product];

impl Drawing {
    /// `|x| + 0.5`.
    fn positive(&mut self, x: Value) -> Result<Value, Fault> {
        let size = self.builder.unary(Unary::Abs, x)?;
        self.builder.with_scalar(Binary::Add, size, 0.5)
    }

    fn small(&mut self, x: Value) -> Result<Value, Fault> {
        self.builder.unary(Unary::Softsign, x)
    }

    pub(super) fn unary(&mut self) -> Result<Value, Fault> {
        let (x, function) = (self.any(), self.random.pick(&FUNCTIONS));
        let x = match function {
            Unary::Exp | Unary::Expm1 | Unary::Square | Unary::Sin | Unary::Cos => self.small(x)?,
            // Once in a while something is not a number, here and for what reads it.
            Unary::Log | Unary::Sqrt if self.random.one_in(8) => x,
            Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt | Unary::Reciprocal => self.positive(x)?,
            Unary::Relu
            | Unary::Relu6
            | Unary::LeakyRelu { .. }
            | Unary::Elu
            | Unary::Selu
            | Unary::Sigmoid
            | Unary::Tanh
            | Unary::Softplus
            | Unary::Softsign
            | Unary::Erf
            | Unary::Abs
            | Unary::Negate
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Sign
            | Unary::IsNan => x,
        };
        self.builder.unary(function, x)
    }

    /// A value that broadcasts with this one.
    fn fitting(&mut self, x: Value) -> Result<Value, Fault> {
        let shape = self.builder.shape(x).clone();
        // As of a constant: the batch has size 1.
        let sizes: Vec<usize> = shape.iter().map(|size| size.known().unwrap_or(1)).collect();
        match self.random.between(0, 5) {
            0 => {
                let number = self.random.weight();
                self.builder.scalar(number)
            }
            1 => {
                let alike = |value: &Value| *self.builder.shape(*value) == shape;
                let others: Vec<Value> = self.values.iter().copied().filter(alike).collect();
                if others.is_empty() { Ok(x) } else { Ok(self.random.pick(&others)) }
            }
            2 => {
                let axis = self.axis(x)?;
                let kind = self.random.pick(&REDUCTIONS[..4]);
                self.builder.reduce_kept(kind, x, &[axis])
            }
            3 => {
                let weight = self.weight(&sizes[sizes.len().saturating_sub(1)..]);
                self.builder.constant(&weight)
            }
            _ => {
                let sizes: Vec<usize> =
                    sizes.into_iter().map(|size| if self.random.one_in(3) { 1 } else { size }).collect();
                let weight = self.weight(&sizes);
                self.builder.constant(&weight)
            }
        }
    }

    /// A value and one that broadcasts with it, in any order.
    fn operands(&mut self) -> Result<[Value; 2], Fault> {
        let x = self.any();
        let other = self.fitting(x)?;
        Ok(if self.random.one_in(2) { [x, other] } else { [other, x] })
    }

    pub(super) fn binary(&mut self) -> Result<Value, Fault> {
        let function = self.random.pick(&BINARIES);
        let [mut left, mut right] = self.operands()?;
        match function {
            Binary::Divide => right = self.positive(right)?,
            Binary::Power => {
                left = self.positive(left)?;
                right = self.small(right)?;
            }
            Binary::Multiply | Binary::SquaredDifference => left = self.small(left)?,
            Binary::Add | Binary::Subtract | Binary::Maximum | Binary::Minimum => {}
        }
        self.builder.binary(function, left, right)
    }

    pub(super) fn compare(&mut self) -> Result<Value, Fault> {
        let by = self.random.pick(&COMPARISONS);
        let [left, right] = self.operands()?;
        self.builder.compare(by, left, right)
    }

    pub(super) fn select(&mut self) -> Result<Value, Fault> {
        let [left, right] = self.operands()?;
        let condition = self.builder.compare(Comparison::Greater, left, right)?;
        let other = self.fitting(left)?;
        self.builder.select(condition, left, other)
    }

    pub(super) fn full_like(&mut self) -> Result<Value, Fault> {
        let (x, number) = (self.any(), self.random.weight());
        self.builder.full_like(x, number)
    }

    pub(super) fn reduce(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let kind = self.random.pick(&REDUCTIONS);
        let x = if kind == Reduction::Product { self.small(x)? } else { x };
        let own = |axis: &usize| !self.builder.shape(x)[*axis].is_batch();
        let axes: Vec<usize> = (0..self.rank(x)).filter(own).collect();
        let axes: Vec<usize> = axes.into_iter().filter(|_| self.random.one_in(2)).collect();
        if axes.is_empty() {
            return Err("it is a reduction over no axes".into());
        }
        let keeps_axes = self.random.one_in(2);
        self.builder.reduce(x, Reduce { kind, axes, keeps_axes })
    }

    pub(super) fn softmax(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        self.builder.softmax(x, axis)
    }

    pub(super) fn log_softmax(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        self.builder.log_softmax(x, axis)
    }

    pub(super) fn sort(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        self.builder.sort(x, axis)
    }

    pub(super) fn cumulative_sum(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        self.builder.cumulative_sum(x, axis)
    }

    pub(super) fn batch_norm(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        self.normalized(x, axis)
    }

    pub(super) fn normalized(&mut self, x: Value, axis: usize) -> Result<Value, Fault> {
        let size = self.size(x, axis)?;
        let mut learnt = || self.random.one_in(2).then(|| self.random.weight_vector(size));
        let (gamma, beta) = (learnt(), learnt());
        let mean = self.random.weight_vector(size);
        let variance = self.random.weight_vector(size).map(f32::abs);
        self.builder.batch_norm(x, BatchNorm { axis, gamma, beta, mean, variance, epsilon: 0.01 })
    }

    pub(super) fn constant(&mut self) -> Result<Value, Fault> {
        // One that the input broadcasts with, or any.
        let shape = self.builder.shape(self.values[0]).clone();
        let sizes: Vec<usize> = if self.random.one_in(2) {
            shape.iter().skip(1).filter_map(|size: &Size| size.known()).collect()
        } else {
            (0..self.random.between(0, 4)).map(|_| self.random.between(1, 4)).collect()
        };
        let weight: Tensor = self.weight(&sizes);
        self.builder.constant(&weight)
    }
}
