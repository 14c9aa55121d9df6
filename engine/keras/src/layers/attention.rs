//! Attention between positions of an image or a sequence: `MultiHeadAttention`, `GroupedQueryAttention`, `Attention`,
//! `AdditiveAttention`, and the operation `dot_product_attention`.
//!
//! All are sums of values, weighted by the softmax of scores of queries against keys.

use model::{Builder, Fault, Shape, Value};

pub(super) mod dot_product;
pub(super) mod multi_head;
pub(super) mod single_head;

/// Sums of values over the positions of each query. All are `[…, positions, channels]`.
fn attend(builder: &mut Builder, queries: Value, keys: Value, values: Value) -> Result<Value, Fault> {
    let scores = builder.times_transpose(queries, keys)?;
    weighted(builder, scores, values)
}

/// Sums of values, weighted by the softmax of scores `[…, queries, positions]`.
fn weighted(builder: &mut Builder, scores: Value, values: Value) -> Result<Value, Fault> {
    let last = builder.shape(scores).len().saturating_sub(1);
    let weights = builder.softmax(scores, last)?;
    builder.matrix_product(weights, values)
}

fn misfit(builder: &Builder, inputs: &[Value]) -> String {
    let shapes = Shape::described_all(inputs.iter().map(|input| builder.shape(*input)));
    format!("its inputs have shapes {shapes}, expected some that fit together")
}
