//! Reductions over some axes.

use model::{Binary, Builder, Fault, Unary, Value};

use crate::layers::Layer;
use crate::layers::lowering::with_batch;
use crate::reader::Reader;
use crate::shapes::axis_after_batch;

/// [`Layer::Reduction`].
#[derive(Debug, Clone)]
pub struct Reduction {
    /// Which reduction.
    pub kind: ReductionKind,
    /// The axes reduced, counted from 0 after the batch, ascending.
    pub axes: Vec<usize>,
    /// Whether these axes stay, with size 1.
    pub keep_dims: bool,
}

/// The kinds of reductions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReductionKind {
    /// One that is a primitive.
    Primitive(model::Reduction),
    /// Their variance.
    Variance,
    /// Their standard deviation.
    Std,
    /// The square root of the sum of their squares.
    EuclideanNorm,
    /// The logarithm of the sum of their exponentials.
    LogSumExp,
}

impl Reduction {
    pub(crate) fn lower(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        if self.axes.is_empty() {
            return Ok(x);
        }
        match self.kind {
            ReductionKind::Primitive(kind) => self.reduced(builder, kind, x),
            ReductionKind::Variance => self.variance(builder, x),
            ReductionKind::Std => {
                let variance = self.variance(builder, x)?;
                builder.unary(Unary::Sqrt, variance)
            }
            ReductionKind::EuclideanNorm => {
                let squares = builder.unary(Unary::Square, x)?;
                let sum = self.reduced(builder, model::Reduction::Sum, squares)?;
                builder.unary(Unary::Sqrt, sum)
            }
            ReductionKind::LogSumExp => self.log_sum_exp(builder, x),
        }
    }

    fn reduced(&self, builder: &mut Builder, kind: model::Reduction, x: Value) -> Result<Value, Fault> {
        builder.reduce(x, model::Reduce { kind, axes: with_batch(&self.axes), keeps_axes: self.keep_dims })
    }

    fn variance(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let mean = builder.reduce_kept(model::Reduction::Mean, x, &with_batch(&self.axes))?;
        let squares = builder.binary(Binary::SquaredDifference, x, mean)?;
        self.reduced(builder, model::Reduction::Mean, squares)
    }

    /// Subtracts the maximum first and adds it back at the end, so that no exponential overflows.
    fn log_sum_exp(&self, builder: &mut Builder, x: Value) -> Result<Value, Fault> {
        let largest = builder.reduce_kept(model::Reduction::Max, x, &with_batch(&self.axes))?;
        let lowered = builder.binary(Binary::Subtract, x, largest)?;
        let exponentials = builder.unary(Unary::Exp, lowered)?;
        let sum = self.reduced(builder, model::Reduction::Sum, exponentials)?;
        let logarithm = builder.unary(Unary::Log, sum)?;
        let largest = self.reduced(builder, model::Reduction::Max, x)?;
        builder.binary(Binary::Add, logarithm, largest)
    }
}

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    let kind = match class {
        "tf.math.reduce_mean" | "ops.Mean" => ReductionKind::Primitive(model::Reduction::Mean),
        "tf.math.reduce_sum" | "ops.Sum" => ReductionKind::Primitive(model::Reduction::Sum),
        "tf.math.reduce_max" | "ops.Max" | "ops.Amax" => ReductionKind::Primitive(model::Reduction::Max),
        "tf.math.reduce_min" | "ops.Min" | "ops.Amin" => ReductionKind::Primitive(model::Reduction::Min),
        "tf.math.reduce_prod" | "ops.Prod" => ReductionKind::Primitive(model::Reduction::Product),
        "tf.math.reduce_variance" | "ops.Var" => ReductionKind::Variance,
        "tf.math.reduce_std" | "ops.Std" => ReductionKind::Std,
        "tf.math.reduce_logsumexp" | "ops.Logsumexp" => ReductionKind::LogSumExp,
        "tf.math.reduce_euclidean_norm" => ReductionKind::EuclideanNorm,
        "tf.nn.moments" | "ops.Moments" => return Some(moments(reader)),
        _ => return None,
    };
    Some(reduction(reader, kind))
}

/// Mean and variance.
fn moments(reader: &mut Reader) -> Layer {
    for key in ["shift", "synchronized"] {
        reader.unset(key);
    }
    let kinds = [ReductionKind::Primitive(model::Reduction::Mean), ReductionKind::Variance];
    Layer::MultiOutput(kinds.map(|kind| reduction(reader, kind)).into())
}

fn reduction(reader: &mut Reader, kind: ReductionKind) -> Layer {
    reader.subject();
    let keep_dims = reader.flag_or("keepdims", false);
    for key in ["initial", "where"] {
        reader.unset(key);
    }
    let axes = reader.integers("axis").or_else(|| reader.integers("axes"));
    let mut after_batch = Vec::new();
    if let Some(input) = reader.input() {
        let all = 1..=i64::try_from(input.len()).unwrap_or(i64::MAX);
        if axes.is_none() {
            reader.fault("it reduces the batch too, expected `axis` to name axes after it");
        }
        for axis in axes.unwrap_or_else(|| all.collect()) {
            match axis_after_batch(axis, input) {
                Ok(axis) => after_batch.push(axis),
                Err(problem) => reader.fault(problem),
            }
        }
    }
    after_batch.sort_unstable();
    after_batch.dedup();
    Layer::Reduction(Reduction { kind, axes: after_batch, keep_dims })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    fn check_kind(kind: ReductionKind, keep_dims: bool, expected: &str) {
        let by = Reduction { kind, axes: vec![0, 1], keep_dims };
        check(&["4, 5, 3"], |builder, inputs| by.lower(builder, inputs[0]), expected);
    }

    #[test]
    fn a_logarithm_of_sums_of_exponentials_does_not_overflow() {
        check_kind(
            ReductionKind::LogSumExp,
            false,
            "
            %0 = input() : [batch, 4, 5, 3]
            %1 = max(%0, axes [1, 2], kept) : [batch, 1, 1, 3]
            %2 = subtract(%0, %1) : [batch, 4, 5, 3]
            %3 = exp(%2) : [batch, 4, 5, 3]
            %4 = sum(%3, axes [1, 2]) : [batch, 3]
            %5 = log(%4) : [batch, 3]
            %6 = max(%0, axes [1, 2]) : [batch, 3]
            %7 = add(%5, %6) : [batch, 3]
            outputs %7
            ",
        );
    }

    #[test]
    fn a_deviation_is_the_root_of_the_variance() {
        check_kind(
            ReductionKind::Std,
            true,
            "
            %0 = input() : [batch, 4, 5, 3]
            %1 = mean(%0, axes [1, 2], kept) : [batch, 1, 1, 3]
            %2 = squared_difference(%0, %1) : [batch, 4, 5, 3]
            %3 = mean(%2, axes [1, 2], kept) : [batch, 1, 1, 3]
            %4 = sqrt(%3) : [batch, 1, 1, 3]
            outputs %4
            ",
        );
    }

    #[test]
    fn what_has_no_such_axis_is_not_reduced() {
        let kind = ReductionKind::Primitive(model::Reduction::Product);
        let by = Reduction { kind, axes: vec![1], keep_dims: false };
        assert_eq!(
            fault(&["4"], |builder, inputs| by.lower(builder, inputs[0])),
            "its input has shape [4], expected more axes"
        );
        let none = Reduction { axes: Vec::new(), ..by };
        check(
            &["4"],
            |builder, inputs| none.lower(builder, inputs[0]),
            "%0 = input() : [batch, 4]\noutputs %0",
        );
    }
}
