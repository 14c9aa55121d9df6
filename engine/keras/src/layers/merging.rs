//! Layers with several inputs: `Add` and the other merging layers, which have no settings, and `Concatenate`.

use model::{Binary, Builder, Fault, Value};

use crate::layers::Layer;
use crate::layers::lowering::axis_of;
use crate::reader::Reader;

pub(super) mod dot;

/// How [`Layer::Merge`] combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeKind {
    /// Sum.
    Add,
    /// First minus second.
    Subtract,
    /// Product.
    Multiply,
    /// Mean.
    Average,
    /// Largest.
    Maximum,
    /// Smallest.
    Minimum,
}

/// Combines the inputs from the first to the last. Inputs with fewer axes than others get more of them behind the batch, as in
/// Keras.
pub(super) fn merged(kind: MergeKind, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
    if kind == MergeKind::Subtract && inputs.len() != 2 {
        return Err(Fault(format!("it is called on {} inputs, expected 2", inputs.len())));
    }
    let axes = inputs.iter().map(|input| builder.shape(*input).len()).max().unwrap_or(0);
    let mut aligned = Vec::with_capacity(inputs.len());
    for input in inputs {
        let mut input = *input;
        while builder.shape(input).len() < axes {
            input = builder.expand(input, 1)?;
        }
        aligned.push(input);
    }
    let function = match kind {
        MergeKind::Add | MergeKind::Average => Binary::Add,
        MergeKind::Subtract => Binary::Subtract,
        MergeKind::Multiply => Binary::Multiply,
        MergeKind::Maximum => Binary::Maximum,
        MergeKind::Minimum => Binary::Minimum,
    };
    let Some((first, others)) = aligned.split_first() else {
        return Err("it is called on no inputs, expected at least 1".into());
    };
    let all = others.iter().try_fold(*first, |all, other| builder.binary(function, all, *other))?;
    if kind != MergeKind::Average {
        return Ok(all);
    }
    #[expect(clippy::cast_precision_loss, reason = "nobody merges 16 million inputs")]
    let count = inputs.len() as f32;
    builder.with_scalar(Binary::Divide, all, count)
}

/// Concatenates along an axis that may be negative and counts the batch.
pub(super) fn concatenated(axis: i64, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
    let first = inputs.first().ok_or("it is called on no inputs, expected at least 1")?;
    let axis = axis_of(axis, builder, *first)?;
    builder.concatenate(inputs, axis)
}

pub(super) fn concatenate(reader: &mut Reader) -> Layer {
    Layer::Concatenate { axis: reader.integer_or("axis", -1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    #[test]
    fn inputs_with_fewer_axes_get_more_behind_the_batch() {
        check(
            &["5, 4, 3", "3", "4, 1"],
            |builder, inputs| merged(MergeKind::Average, builder, inputs),
            "
            %0 = input() : [batch, 5, 4, 3]
            %1 = unresolved(%0) : [batch, 3]
            %2 = unresolved(%0) : [batch, 4, 1]
            %3 = reshape(%1) : [batch, 1, 3]
            %4 = reshape(%3) : [batch, 1, 1, 3]
            %5 = reshape(%2) : [batch, 1, 4, 1]
            %6 = add(%0, %4) : [batch, 5, 4, 3]
            %7 = add(%6, %5) : [batch, 5, 4, 3]
            %8 = constant(3.0) : []
            %9 = divide(%7, %8) : [batch, 5, 4, 3]
            outputs %9
            ",
        );
    }

    #[test]
    fn inputs_that_cannot_be_merged_are_faults() {
        let check = |kind, inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| merged(kind, builder, inputs)), expected);
        };
        check(MergeKind::Subtract, &["3"], "it is called on 1 inputs, expected 2");
        check(MergeKind::Add, &[], "it is called on no inputs, expected at least 1");
        check(
            MergeKind::Add,
            &["4, 3", "4, 2"],
            "its operands have shapes [batch, 4, 3] and [batch, 4, 2], which do not fit",
        );
        check(
            MergeKind::Add,
            &["4, 3", "batch * 4, 3"],
            "it joins values of which a reshape folded some into the batch, expected all or none of them there",
        );
    }

    #[test]
    fn the_axis_of_a_concatenation_may_count_from_the_end() {
        check(
            &["4, 3", "4, 2"],
            |builder, inputs| concatenated(-1, builder, inputs),
            "
            %0 = input() : [batch, 4, 3]
            %1 = unresolved(%0) : [batch, 4, 2]
            %2 = concatenate(%0, %1, axis 2) : [batch, 4, 5]
            outputs %2
            ",
        );
        let check = |axis, inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| concatenated(axis, builder, inputs)), expected);
        };
        let misfit = "its inputs have shapes [4, 3] and [4, 2], expected equal sizes but for axis 1";
        check(1, &["4, 3", "4, 2"], misfit);
        check(0, &["4, 3"], "`axis` is 0, expected an axis of its input, [4, 3] after the batch");
        check(-3, &["4, 3"], "`axis` is -3, expected an axis of its input, [4, 3] after the batch");
        check(1, &[], "it is called on no inputs, expected at least 1");
    }
}
