//! Attention: sums of values, weighted by the softmax of scores of queries against keys.

use tensorflow::Output;

use super::dense::dense;
use super::reshaping;
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{
    Activation, Attention, AttentionScore, DotProductAttention, MultiHeadAttention, Projection,
};

/// The axes over which attention is computed become one, behind that of the heads. Two batched matrix products then
/// compute the whole, whatever axes there are.
pub(super) fn multi_head_attention(
    ops: &mut Ops,
    layer: &MultiHeadAttention,
    inputs: &[Output],
) -> Result<Output, Fault> {
    let [query, value, key] = inputs else {
        return Err(Fault(format!("it has {} inputs, expected query, value and key", inputs.len())));
    };
    let [_, _, key_size] = layer.query.kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", layer.query.kernel.shape)));
    };
    #[expect(clippy::cast_precision_loss, reason = "no head has 16 million channels")]
    let scale = 1.0 / (key_size as f32).sqrt();
    let queries = heads(ops, &layer.query.scaled(scale), &layer.axes, query)?;
    let keys = heads(ops, &layer.key, &layer.axes, key)?;
    let values = heads(ops, &layer.value, &layer.axes, value)?;
    let attended = attend(ops, &queries, &keys, &values)?;

    let positions: Vec<Option<usize>> = positions_of(&ops.sizes(query)?);
    let merged = merge_heads(ops, layer, &positions, &attended)?;
    let gated = match &layer.gate {
        Some(gate) => {
            let gate = dense(ops, &gate.as_dense(1, Activation::Sigmoid), query)?;
            ops.binary("Mul", &merged, &gate)?
        }
        None => merged,
    };
    let output = dense(ops, &layer.output.as_dense(2, Activation::Linear), &gated)?;
    match layer.output.kernel.shape.get(2..).unwrap_or_default() {
        [_] => Ok(output),
        several => {
            let target: Vec<Option<usize>> =
                positions.iter().copied().chain(several.iter().map(|&size| Some(size))).collect();
            ops.reshape(&output, &target_shape(&target)?)
        }
    }
}

/// Queries, keys and values are `[batch, positions, heads, channels]`.
pub(super) fn dot_product_attention(
    ops: &mut Ops,
    layer: &DotProductAttention,
    inputs: &[Output],
) -> Result<Output, Fault> {
    let of = |index: usize| inputs.get(index).ok_or_else(|| Fault(format!("it has no input {index}")));
    let (query, key, value) = (of(layer.query)?, of(layer.key)?, of(layer.value)?);
    let query = ops.with_scalar("Mul", query, layer.scale)?;
    let [query, key, value] = [&query, key, value].map(|input| reshaping::permute(ops, &[2, 1, 3], input));
    let attended = attend(ops, &query?, &key?, &value?)?;
    reshaping::permute(ops, &[2, 1, 3], &attended)
}

pub(super) fn attention(ops: &mut Ops, layer: &Attention, inputs: &[Output]) -> Result<Output, Fault> {
    let (query, value, key) = match inputs {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(Fault(format!("it has {} inputs, expected 2 or 3", inputs.len()))),
    };
    let scale = layer.scale.as_ref().map(|scale| ops.weights(scale)).transpose()?;
    let scaled = |ops: &mut Ops, values: Output| match &scale {
        Some(scale) => ops.binary("Mul", &values, scale),
        None => Ok(values),
    };
    let scores = match &layer.score {
        AttentionScore::Dot => {
            let products = products(ops, query, key)?;
            scaled(ops, products)?
        }
        AttentionScore::Concat { weight } => {
            let sums = sums(ops, query, key)?;
            let sums = scaled(ops, sums)?;
            let activated = ops.unary("Tanh", &sums)?;
            let weight = ops.weights(weight)?;
            let total = over_channels(ops, &activated)?;
            ops.binary("Mul", &total, &weight)?
        }
        AttentionScore::Additive => {
            let sums = sums(ops, query, key)?;
            let activated = ops.unary("Tanh", &sums)?;
            let activated = scaled(ops, activated)?;
            over_channels(ops, &activated)?
        }
    };
    let weights = ops.unary("Softmax", &scores)?;
    ops.binary("BatchMatMulV2", &weights, value)
}

/// The projected input, `[batch, other positions…, heads, positions, channels]`.
fn heads(ops: &mut Ops, by: &Projection, axes: &[usize], input: &Output) -> Result<Output, Fault> {
    let [_, heads, size] = by.kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", by.kernel.shape)));
    };
    let positions = positions_of(&ops.sizes(input)?);
    let projected = dense(ops, &by.as_dense(1, Activation::Linear), input)?;
    let split: Vec<Option<usize>> = positions.iter().copied().chain([Some(heads), Some(size)]).collect();
    let split = ops.reshape(&projected, &target_shape(&split)?)?;
    let transposed = reshaping::permute(ops, &order(positions.len(), axes), &split)?;
    if let [_] = axes {
        return Ok(transposed);
    }
    let target: Vec<Option<usize>> = others(&positions, axes)
        .chain([Some(heads), attended_length(&positions, axes), Some(size)])
        .collect();
    ops.reshape(&transposed, &target_shape(&target)?)
}

/// The outputs of the heads concatenated, `[batch, positions…, heads * channels]`.
fn merge_heads(
    ops: &mut Ops,
    layer: &MultiHeadAttention,
    positions: &[Option<usize>],
    attended: &Output,
) -> Result<Output, Fault> {
    let Some(&[heads, size]) = layer.output.kernel.shape.first_chunk::<2>() else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", layer.output.kernel.shape)));
    };
    let axes = &layer.axes;
    let mut attended = attended.clone();
    if axes.len() != 1 {
        let attended_sizes = axes.iter().map(|&axis| positions[axis]);
        let target: Vec<Option<usize>> =
            others(positions, axes).chain([Some(heads)]).chain(attended_sizes).chain([Some(size)]).collect();
        attended = ops.reshape(&attended, &target_shape(&target)?)?;
    }
    let order = order(positions.len(), axes);
    let back: Vec<usize> =
        (1..=order.len()).filter_map(|axis| Some(order.iter().position(|&from| from == axis)? + 1)).collect();
    let transposed = reshaping::permute(ops, &back, &attended)?;
    let target: Vec<Option<usize>> = positions.iter().copied().chain([Some(heads * size)]).collect();
    ops.reshape(&transposed, &target_shape(&target)?)
}

/// The permutation of `[positions…, heads, channels]`, counted from 1 after the batch: the other positions, the heads,
/// the positions over which attention is computed, the channels.
fn order(positions: usize, axes: &[usize]) -> Vec<usize> {
    let others = (0..positions).filter(|axis| !axes.contains(axis));
    others
        .chain([positions])
        .chain(axes.iter().copied())
        .chain([positions + 1])
        .map(|axis| axis + 1)
        .collect()
}

fn others<'a>(positions: &'a [Option<usize>], axes: &'a [usize]) -> impl Iterator<Item = Option<usize>> + 'a {
    positions.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, size)| *size)
}

/// Over how many positions attention is computed.
fn attended_length(positions: &[Option<usize>], axes: &[usize]) -> Option<usize> {
    axes.iter().map(|&axis| positions[axis]).product()
}

/// The sizes of the positions: those after the batch and before the channels.
fn positions_of(sizes: &[Option<usize>]) -> Vec<Option<usize>> {
    sizes.get(1..sizes.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

/// The sizes as the target of a reshape, in which one may be unknown.
fn target_shape(sizes: &[Option<usize>]) -> Result<Vec<i32>, Fault> {
    if sizes.iter().filter(|size| size.is_none()).count() > 1 {
        return Err(Fault(
            "its inputs have several axes without a fixed size, expected one at most".to_owned(),
        ));
    }
    sizes.iter().map(|size| size.map_or(Ok(-1), to_i32)).collect()
}

/// Attention over the last two axes, positions and channels.
fn attend(ops: &mut Ops, queries: &Output, keys: &Output, values: &Output) -> Result<Output, Fault> {
    let scores = products(ops, queries, keys)?;
    let weights = ops.unary("Softmax", &scores)?;
    ops.binary("BatchMatMulV2", &weights, values)
}

fn products(ops: &mut Ops, queries: &Output, keys: &Output) -> Result<Output, Fault> {
    ops.op("BatchMatMulV2", &[queries, keys], &[("adj_y", Attribute::Bool(true))])
}

/// The sums of each query and each key, `[batch, queries, keys, channels]`.
fn sums(ops: &mut Ops, queries: &Output, keys: &Output) -> Result<Output, Fault> {
    let behind = ops.integers(&[], &[2])?;
    let before = ops.integers(&[], &[1])?;
    let queries = ops.binary("ExpandDims", queries, &behind)?;
    let keys = ops.binary("ExpandDims", keys, &before)?;
    ops.binary("AddV2", &queries, &keys)
}

fn over_channels(ops: &mut Ops, values: &Output) -> Result<Output, Fault> {
    let last = ops.integers(&[1], &[-1])?;
    ops.binary("Sum", values, &last)
}
