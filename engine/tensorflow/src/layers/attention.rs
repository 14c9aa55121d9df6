//! Attention: products of queries with keys say how much of each value comes through.

use tensorflow::Output;

use super::dense::dense;
use super::reshaping;
use crate::ops::{Attribute, Fault, Ops, to_i32};
use keras::layers::{
    Activation, Attention, AttentionScore, DotProductAttention, MultiHeadAttention, Projection,
};

/// Heads go before the places that look at each other, which become one axis: then two batched matrix products
/// are all of it, whatever axes there are.
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
    let seen = attend(ops, &queries, &keys, &values)?;

    let places: Vec<Option<usize>> = between(&ops.sizes(query)?);
    let merged = together_again(ops, layer, &places, &seen)?;
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
                places.iter().copied().chain(several.iter().map(|&size| Some(size))).collect();
            ops.reshape(&output, &with_one_open(&target)?)
        }
    }
}

/// Queries, keys and values `[batch, places, heads, channels]`.
pub(super) fn dot_product_attention(
    ops: &mut Ops,
    layer: &DotProductAttention,
    inputs: &[Output],
) -> Result<Output, Fault> {
    let of = |index: usize| inputs.get(index).ok_or_else(|| Fault(format!("it has no input {index}")));
    let (query, key, value) = (of(layer.query)?, of(layer.key)?, of(layer.value)?);
    let query = ops.with_scalar("Mul", query, layer.scale)?;
    let [query, key, value] = [&query, key, value].map(|input| reshaping::permute(ops, &[2, 1, 3], input));
    let seen = attend(ops, &query?, &key?, &value?)?;
    reshaping::permute(ops, &[2, 1, 3], &seen)
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
            let bent = ops.unary("Tanh", &sums)?;
            let weight = ops.weights(weight)?;
            let total = over_channels(ops, &bent)?;
            ops.binary("Mul", &total, &weight)?
        }
        AttentionScore::Additive => {
            let sums = sums(ops, query, key)?;
            let bent = ops.unary("Tanh", &sums)?;
            let bent = scaled(ops, bent)?;
            over_channels(ops, &bent)?
        }
    };
    let shares = ops.unary("Softmax", &scores)?;
    ops.binary("BatchMatMulV2", &shares, value)
}

/// `[batch, other places…, heads, places, channels]`.
fn heads(ops: &mut Ops, by: &Projection, axes: &[usize], input: &Output) -> Result<Output, Fault> {
    let [_, heads, size] = by.kernel.shape[..] else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", by.kernel.shape)));
    };
    let places = between(&ops.sizes(input)?);
    let projected = dense(ops, &by.as_dense(1, Activation::Linear), input)?;
    let split: Vec<Option<usize>> = places.iter().copied().chain([Some(heads), Some(size)]).collect();
    let split = ops.reshape(&projected, &with_one_open(&split)?)?;
    let turned = reshaping::permute(ops, &order(places.len(), axes), &split)?;
    if let [_] = axes {
        return Ok(turned);
    }
    let target: Vec<Option<usize>> =
        others(&places, axes).chain([Some(heads), looked_at(&places, axes), Some(size)]).collect();
    ops.reshape(&turned, &with_one_open(&target)?)
}

/// What the heads saw, `[batch, places…, heads * channels]`.
fn together_again(
    ops: &mut Ops,
    layer: &MultiHeadAttention,
    places: &[Option<usize>],
    seen: &Output,
) -> Result<Output, Fault> {
    let Some(&[heads, size]) = layer.output.kernel.shape.first_chunk::<2>() else {
        return Err(Fault(format!("its kernel has shape {:?}, expected 3 axes", layer.output.kernel.shape)));
    };
    let axes = &layer.axes;
    let mut seen = seen.clone();
    if axes.len() != 1 {
        let looking = axes.iter().map(|&axis| places[axis]);
        let target: Vec<Option<usize>> =
            others(places, axes).chain([Some(heads)]).chain(looking).chain([Some(size)]).collect();
        seen = ops.reshape(&seen, &with_one_open(&target)?)?;
    }
    let order = order(places.len(), axes);
    let back: Vec<usize> =
        (1..=order.len()).filter_map(|axis| Some(order.iter().position(|&from| from == axis)? + 1)).collect();
    let turned = reshaping::permute(ops, &back, &seen)?;
    let target: Vec<Option<usize>> = places.iter().copied().chain([Some(heads * size)]).collect();
    ops.reshape(&turned, &with_one_open(&target)?)
}

/// Where `[places…, heads, channels]` go, counted from 1 behind the batch: the places that do not look at each
/// other, the heads, those that do, the channels.
fn order(places: usize, axes: &[usize]) -> Vec<usize> {
    let others = (0..places).filter(|axis| !axes.contains(axis));
    others.chain([places]).chain(axes.iter().copied()).chain([places + 1]).map(|axis| axis + 1).collect()
}

fn others<'a>(places: &'a [Option<usize>], axes: &'a [usize]) -> impl Iterator<Item = Option<usize>> + 'a {
    places.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, size)| *size)
}

/// How many places look at each other.
fn looked_at(places: &[Option<usize>], axes: &[usize]) -> Option<usize> {
    axes.iter().map(|&axis| places[axis]).product()
}

/// Sizes behind the batch and before the channels.
fn between(sizes: &[Option<usize>]) -> Vec<Option<usize>> {
    sizes.get(1..sizes.len().saturating_sub(1)).unwrap_or_default().to_vec()
}

/// As a target shape, in which one size may be open.
fn with_one_open(sizes: &[Option<usize>]) -> Result<Vec<i32>, Fault> {
    if sizes.iter().filter(|size| size.is_none()).count() > 1 {
        return Err(Fault(
            "its inputs have several axes without a fixed size, expected one at most".to_owned(),
        ));
    }
    sizes.iter().map(|size| size.map_or(Ok(-1), to_i32)).collect()
}

/// The last two axes are places and channels.
fn attend(ops: &mut Ops, queries: &Output, keys: &Output, values: &Output) -> Result<Output, Fault> {
    let scores = products(ops, queries, keys)?;
    let shares = ops.unary("Softmax", &scores)?;
    ops.binary("BatchMatMulV2", &shares, values)
}

fn products(ops: &mut Ops, queries: &Output, keys: &Output) -> Result<Output, Fault> {
    ops.op("BatchMatMulV2", &[queries, keys], &[("adj_y", Attribute::Bool(true))])
}

/// Each query with each key, `[batch, queries, keys, channels]`.
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
