//! Attention between positions of an image or a sequence: `MultiHeadAttention`, `GroupedQueryAttention`, `Attention`,
//! `AdditiveAttention`.

use std::sync::Arc;

use crate::Tensor;
use crate::architecture::Dialect;
use crate::layers::{Activation, Dense, Layer};
use crate::reader::{Reader, shown};
use crate::shapes::{Shape, describe};

/// [`Layer::MultiHeadAttention`], called on query, value and key: `softmax(q kᵀ / sqrt(key size)) v` in each head
/// (Vaswani et al. 2017), between projections.
#[derive(Debug, Clone)]
pub struct MultiHeadAttention {
    /// Kernel `[query channels, heads, key size]`.
    pub query: Projection,
    /// Kernel `[value channels, heads, value size]`.
    pub value: Projection,
    /// Kernel `[key channels, heads, key size]`.
    pub key: Projection,
    /// Kernel `[query channels, heads, value size]`; the sigmoid of this projection multiplies the output of the heads.
    pub gate: Option<Projection>,
    /// Kernel `[heads, value size, output channels…]`.
    pub output: Projection,
    /// The axes over which attention is computed, counted from 0 after the batch.
    pub axes: Vec<usize>,
}

/// A product with a kernel, summed over the axes that the kernel shares with the input, and a bias over its other axes.
#[derive(Debug, Clone)]
pub struct Projection {
    /// The kernel; the axes that it shares with the input come first.
    pub kernel: Tensor,
    /// The bias, of the shape of the other axes of the kernel.
    pub bias: Option<Tensor>,
}

impl Projection {
    /// The projection with kernel and bias multiplied by a factor.
    #[must_use]
    pub fn scaled(&self, factor: f32) -> Self {
        let scaled = |tensor: &Tensor| Tensor {
            shape: tensor.shape.clone(),
            values: tensor.values.iter().map(|value| value * factor).collect(),
        };
        Self { kernel: scaled(&self.kernel), bias: self.bias.as_ref().map(scaled) }
    }

    /// The projection as a fully connected layer over the first `shared` axes of the kernel.
    #[must_use]
    pub fn as_dense(&self, shared: usize, activation: Activation) -> Dense {
        let (inputs, outputs) = self.kernel.shape.split_at(shared.min(self.kernel.shape.len()));
        let (inputs, outputs) = (inputs.iter().product(), outputs.iter().product());
        let kernel = Tensor { shape: vec![inputs, outputs], values: self.kernel.values.clone() };
        let bias =
            self.bias.as_ref().map(|bias| Tensor { shape: vec![outputs], values: bias.values.clone() });
        Dense { kernel, bias, activation }
    }
}

/// [`Layer::Attention`], called on query, value and perhaps key, `[batch, positions, channels]`:
/// `softmax(scores) value`.
#[derive(Debug, Clone)]
pub struct Attention {
    /// How a query is scored against a key.
    pub score: AttentionScore,
    /// A learnt factor: one for all scores, or with [`AttentionScore::Additive`] one per channel.
    pub scale: Option<Tensor>,
}

/// How [`Attention`] scores a query against a key.
#[derive(Debug, Clone)]
pub enum AttentionScore {
    /// `scale * query · key`.
    Dot,
    /// `weight * sum(tanh(scale * (query + key)))`.
    Concat {
        /// A scalar.
        weight: Tensor,
    },
    /// `sum(scale * tanh(query + key))`.
    Additive,
}

/// [`Layer::DotProductAttention`]: `softmax(scale * query · key) value` in each head, of inputs `[batch, positions, heads,
/// channels]`.
#[derive(Debug, Clone)]
pub struct DotProductAttention {
    /// Factor of the scores.
    pub scale: f32,
    /// Index of the input with the queries.
    pub query: usize,
    /// Index of the input with the keys.
    pub key: usize,
    /// Index of the input with the values.
    pub value: usize,
}

pub(super) fn multi_head_attention(reader: &mut Reader) -> Layer {
    // Keras 2 notes the shapes of its inputs. How a mask enters the softmax matters only where there is a mask.
    reader.ignore(&["dropout", "seed", "query_shape", "key_shape", "value_shape", "softmax_robust_masking"]);
    reader.unset("sliding_window");
    let heads = reader.size("num_heads");
    let key_size = reader.size("key_dim");
    let value_size = reader.size_or("value_dim", key_size);
    let sizes = Sizes { heads, key_heads: heads, key: key_size, value: value_size };
    let channels = output_channels(reader);
    let given_axes = reader.integers("attention_axes");
    let Some(query) = reader.input() else {
        reader.ignore(&["use_bias", "use_gate"]);
        reader.unsure();
        return Layer::Identity;
    };
    let axes = attention_axes(reader, given_axes, query);
    let folders: Folders = [
        &["query_dense", "_query_dense"],
        &["key_dense", "_key_dense"],
        &["value_dense", "_value_dense"],
        &["output_dense", "_output_dense"],
    ];
    attention(reader, &sizes, channels, (axes, folders))
}

pub(super) fn grouped_query_attention(reader: &mut Reader) -> Layer {
    reader.ignore(&["dropout", "seed"]);
    reader.unset("sliding_window");
    let heads = reader.size("num_query_heads");
    let key_heads = reader.size("num_key_value_heads");
    let size = reader.size("head_dim");
    if !heads.is_multiple_of(key_heads) {
        reader.fault(format!(
            "`num_key_value_heads` is {key_heads}, expected a divisor of `num_query_heads`, {heads}"
        ));
    }
    let folders: Folders = [
        &["query_dense", "_query_dense"],
        &["key_dense", "_key_dense"],
        &["value_dense", "_value_dense"],
        &["output_dense", "_output_dense"],
    ];
    let sizes = Sizes { heads, key_heads, key: size, value: size };
    if let Some(query) = reader.input().filter(|query| query.len() != 2) {
        reader.fault(format!("its query has shape {}, expected [positions, channels]", describe(query)));
    }
    attention(reader, &sizes, None, (vec![0], folders))
}

pub(super) fn plain_attention(reader: &mut Reader) -> Layer {
    reader.ignore(&["dropout", "seed"]);
    reader.unset("causal");
    let scaled = reader.flag_or("use_scale", false);
    let concat = match reader.value("score_mode") {
        None => false,
        Some(mode) if mode == "dot" => false,
        Some(mode) if mode == "concat" => true,
        Some(mode) => {
            reader.fault(format!("`score_mode` is {}, expected \"dot\" or \"concat\"", shown(mode)));
            false
        }
    };
    let scale = scaled.then(|| reader.weight(&["scale"], &[]));
    let score = if concat {
        AttentionScore::Concat { weight: reader.weight(&["concat_score_weight"], &[]) }
    } else {
        AttentionScore::Dot
    };
    Layer::Attention(Attention { score, scale })
}

pub(super) fn additive_attention(reader: &mut Reader) -> Layer {
    reader.ignore(&["dropout", "seed"]);
    reader.unset("causal");
    let scaled = reader.flag_or("use_scale", true);
    let channels = if scaled { reader.channels() } else { None };
    let scale = scaled.then(|| reader.weight(&["scale"], &[channels]));
    Layer::Attention(Attention { score: AttentionScore::Additive, scale })
}

struct Sizes {
    heads: usize,
    /// Each serves `heads / key_heads` consecutive heads of the query.
    key_heads: usize,
    key: usize,
    value: usize,
}

/// The folders of query, key, value and output in an archive.
type Folders = [&'static [&'static str]; 4];

fn attention(
    reader: &mut Reader,
    sizes: &Sizes,
    output: Option<Vec<usize>>,
    (axes, [query, key, value, merged]): (Vec<usize>, Folders),
) -> Layer {
    let Sizes { heads, key_heads, key: key_size, value: value_size } = *sizes;
    let has_bias = reader.flag_or("use_bias", true);
    let has_gate = reader.flag_or("use_gate", false);
    let [query_channels, value_channels, key_channels] = [0, 1, 2].map(|index| reader.channels_of(index));
    let head = |heads: usize, size: usize| vec![Some(heads), Some(size)];
    let mut project = |owner, folder, inputs: Shape, outputs: Shape| {
        reader.within(owner, folder, |reader| {
            let shape: Shape = inputs.iter().chain(&outputs).copied().collect();
            let kernel = reader.weight(&["kernel"], &shape);
            Projection { kernel, bias: has_bias.then(|| reader.weight(&["bias"], &outputs)) }
        })
    };
    let query = project("query", query, vec![query_channels], head(heads, key_size));
    let key = project("key", key, vec![key_channels], head(key_heads, key_size));
    let gate: &[&str] = &["gate_dense", "_gate_dense"];
    let gate = has_gate.then(|| project("gate", gate, vec![query_channels], head(heads, value_size)));
    let value = project("value", value, vec![value_channels], head(key_heads, value_size));
    let output = output.map_or_else(|| vec![query_channels], |sizes| sizes.into_iter().map(Some).collect());
    let output = project("attention_output", merged, head(heads, value_size), output);
    let repeats = heads / key_heads;
    Layer::MultiHeadAttention(Box::new(MultiHeadAttention {
        query,
        value: value.with_heads_repeated(repeats),
        key: key.with_heads_repeated(repeats),
        gate,
        output,
        axes,
    }))
}

impl Projection {
    /// Repeats each head for the query heads that share it.
    fn with_heads_repeated(self, times: usize) -> Self {
        if times <= 1 {
            return self;
        }
        let Self { kernel, bias } = self;
        Self { kernel: heads_repeated(&kernel, times), bias: bias.map(|bias| heads_repeated(&bias, times)) }
    }
}

/// Repeats each head. The second to last axis counts the heads.
fn heads_repeated(tensor: &Tensor, times: usize) -> Tensor {
    let mut shape = tensor.shape.clone();
    let size = shape.last().copied().unwrap_or(1).max(1);
    if let Some(heads) = shape.len().checked_sub(2) {
        shape[heads] = shape[heads].saturating_mul(times);
    }
    let heads = tensor.values.chunks(size);
    let values: Vec<f32> =
        heads.flat_map(|head| std::iter::repeat_n(head, times).flatten().copied()).collect();
    Tensor { shape, values: Arc::from(values) }
}

/// The channel sizes of the output, where they are not those of the query.
fn output_channels(reader: &mut Reader) -> Option<Vec<usize>> {
    let sizes = reader.integers("output_shape").filter(|sizes| !sizes.is_empty())?;
    let positive: Option<Vec<usize>> = sizes
        .iter()
        .map(|&size| usize::try_from(size).ok().filter(|size| (1..=MAX_CHANNELS).contains(size)))
        .collect();
    if positive.is_none() {
        reader.fault(format!("`output_shape` is {sizes:?}, expected positive whole numbers"));
    }
    positive
}

/// Far more channels than any layer has.
const MAX_CHANNELS: usize = 1 << 31;

/// Keras counts the batch. Only Keras 3 takes negative axes. By default attention is over all axes but the last.
fn attention_axes(reader: &mut Reader, given: Option<Vec<i64>>, query: &Shape) -> Vec<usize> {
    let last = query.len().saturating_sub(1);
    let Some(given) = given else { return (0..last).collect() };
    let count = i64::try_from(query.len()).unwrap_or(i64::MAX);
    let axis = |&axis: &i64| {
        let from_front = if axis < 0 && reader.dialect == Dialect::Keras3 { axis + count } else { axis - 1 };
        usize::try_from(from_front).ok().filter(|&axis| axis < last)
    };
    let axes: Vec<usize> = given.iter().filter_map(axis).collect();
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if axes.is_empty() || sorted.len() != given.len() {
        reader.fault(format!(
            "`attention_axes` is {given:?}, expected axes of its query, {} after the batch, each once",
            describe(query)
        ));
    }
    sorted
}
