//! `MultiHeadAttention` and `GroupedQueryAttention`.

use model::{Binary, Builder, Fault, Size, Tensor, Unary, Value};

use super::{attend, misfit};
use crate::architecture::Dialect;
use crate::layers::Layer;
use crate::layers::lowering::expect_channels;
use crate::reader::Reader;
use crate::shapes::{Sizes, describe};

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

impl MultiHeadAttention {
    /// The axes over which attention is computed become one, behind that of the heads. Two products of matrices then compute
    /// the whole, whatever axes there are.
    pub(crate) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let [query, value, key] = *inputs else {
            return Err(Fault(format!(
                "it is called on {} inputs, expected query, value and key",
                inputs.len()
            )));
        };
        self.check(builder, inputs)?;
        let key_size = self.query.kernel.shape.last().copied().unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "no head has 16 million channels")]
        let scale = 1.0 / (key_size as f32).sqrt();
        let queries = self.heads(builder, &self.query.scaled(scale), query)?;
        let keys = self.heads(builder, &self.key, key)?;
        let values = self.heads(builder, &self.value, value)?;
        let attended = attend(builder, queries, keys, values)?;

        let mut positions = builder.shape(query).to_vec();
        positions.pop();
        let merged = self.merged(builder, &positions, attended)?;
        let gated = match &self.gate {
            Some(gate) => {
                let gate = gate.lower(builder, query, 1)?;
                let gate = builder.unary(Unary::Sigmoid, gate)?;
                builder.binary(Binary::Multiply, merged, gate)?
            }
            None => merged,
        };
        let output = self.output.lower(builder, gated, 2)?;
        let channels = self.output.kernel.shape.iter().skip(2).copied().map(Size::Known);
        builder.reshape(output, positions.into_iter().chain(channels).collect())
    }

    fn check(&self, builder: &Builder, inputs: &[Value]) -> Result<(), Fault> {
        for (input, projection) in inputs.iter().zip([&self.query, &self.value, &self.key]) {
            let shape = builder.shape(*input);
            let expected = projection.kernel.shape.first().copied().unwrap_or_default();
            if shape.len() < 3 {
                return Err(Fault(format!(
                    "its input has shape {}, expected [positions…, channels]",
                    shape.described()
                )));
            }
            expect_channels(expected, builder, *input)?;
        }
        let shape = |index: usize| &builder.shape(inputs[index])[..];
        let (query, value, key) = (shape(0), shape(1), shape(2));
        let fits = |one: Size, other: Size| one.fitted(other).is_some();
        let all_fit = value.len() == query.len()
            && key.len() == query.len()
            && (1..query.len() - 1).all(|axis| {
                fits(value[axis], key[axis])
                    && (self.axes.contains(&(axis - 1)) || fits(query[axis], key[axis]))
            });
        if all_fit { Ok(()) } else { Err(misfit(builder, inputs).into()) }
    }

    /// The projected input, `[batch, other positions…, heads, positions, channels]`.
    fn heads(&self, builder: &mut Builder, by: &Projection, x: Value) -> Result<Value, Fault> {
        let mut positions = builder.shape(x).to_vec();
        positions.pop();
        let head = by.kernel.shape.iter().skip(1).copied().map(Size::Known);
        let projected = by.lower(builder, x, 1)?;
        let split = builder.reshape(projected, positions.iter().copied().chain(head).collect())?;
        let split = builder.transpose(split, &self.order(positions.len()))?;
        if let [_] = self.axes[..] {
            return Ok(split);
        }
        let mut sizes = builder.shape(split).to_vec();
        let first = positions.len() + 1 - self.axes.len();
        let attended: model::Shape = sizes.drain(first..=positions.len()).collect();
        sizes.insert(first, attended.elements().map_or(Size::Open, Size::Known));
        builder.reshape(split, model::Shape(sizes))
    }

    /// The outputs of the heads concatenated, `[batch, positions…, heads * channels]`. The batch is the first of `positions`.
    fn merged(&self, builder: &mut Builder, positions: &[Size], attended: Value) -> Result<Value, Fault> {
        let order = self.order(positions.len());
        let mut sizes = builder.shape(attended).to_vec();
        let first = positions.len() + 1 - self.axes.len();
        sizes.splice(first..=first, order[first..=positions.len()].iter().map(|axis| positions[*axis]));
        let attended = builder.reshape(attended, model::Shape(sizes))?;
        let back: Vec<usize> =
            (0..order.len()).filter_map(|axis| order.iter().position(|from| *from == axis)).collect();
        let attended = builder.transpose(attended, &back)?;
        let channels = self.output.kernel.shape.iter().take(2).product();
        builder.reshape(attended, positions.iter().copied().chain([Size::Known(channels)]).collect())
    }

    /// The order of `[batch, positions…, heads, channels]` that attention needs: the batch, the other positions, the heads, the
    /// positions over which it is computed, the channels. The batch counts among the positions.
    fn order(&self, positions: usize) -> Vec<usize> {
        let others = (1..positions).filter(|axis| !self.axes.contains(&(axis - 1)));
        let attended = self.axes.iter().map(|axis| axis + 1);
        std::iter::once(0).chain(others).chain([positions]).chain(attended).chain([positions + 1]).collect()
    }
}

impl Projection {
    /// The projection with kernel and bias multiplied by a factor.
    fn scaled(&self, factor: f32) -> Self {
        let scaled = |tensor: &Tensor| tensor.map(|value| value * factor);
        Self { kernel: scaled(&self.kernel), bias: self.bias.as_ref().map(scaled) }
    }

    /// The product over the last axis of `x`, which holds the first `shared` axes of the kernel. The kernel's other axes become
    /// one.
    fn lower(&self, builder: &mut Builder, x: Value, shared: usize) -> Result<Value, Fault> {
        let (inputs, outputs) = self.kernel.shape.split_at(shared.min(self.kernel.shape.len()));
        let (inputs, outputs) = (inputs.iter().product(), outputs.iter().product());
        let kernel = builder.constant(&self.kernel.reshaped(&[inputs, outputs]))?;
        let product = builder.matrix_product(x, kernel)?;
        let bias = self.bias.as_ref().map(|bias| bias.reshaped(&[outputs]));
        builder.biased(product, bias.as_ref())
    }
}

pub(in crate::layers) fn multi_head_attention(reader: &mut Reader) -> Layer {
    // Keras 2 notes the shapes of its inputs. How a mask enters the softmax matters only where there is a mask.
    reader.ignore(&["dropout", "seed", "query_shape", "key_shape", "value_shape", "softmax_robust_masking"]);
    reader.unset("sliding_window");
    let heads = reader.size("num_heads");
    let key_size = reader.size("key_dim");
    let value_size = reader.size_or("value_dim", key_size);
    let sizes = HeadSizes { heads, key_heads: heads, key: key_size, value: value_size };
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

pub(in crate::layers) fn grouped_query_attention(reader: &mut Reader) -> Layer {
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
    let sizes = HeadSizes { heads, key_heads, key: size, value: size };
    if let Some(query) = reader.input().filter(|query| query.len() != 2) {
        reader.fault(format!("its query has shape {}, expected [positions, channels]", describe(query)));
    }
    attention(reader, &sizes, None, (vec![0], folders))
}

struct HeadSizes {
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
    sizes: &HeadSizes,
    output: Option<Vec<usize>>,
    (axes, [query, key, value, merged]): (Vec<usize>, Folders),
) -> Layer {
    let HeadSizes { heads, key_heads, key: key_size, value: value_size } = *sizes;
    let has_bias = reader.flag_or("use_bias", true);
    let has_gate = reader.flag_or("use_gate", false);
    let [query_channels, value_channels, key_channels] = [0, 1, 2].map(|index| reader.channels_of(index));
    let head = |heads: usize, size: usize| vec![Some(heads), Some(size)];
    let mut project = |owner, folder, inputs: Sizes, outputs: Sizes| {
        reader.within(owner, folder, |reader| {
            let shape: Sizes = inputs.iter().chain(&outputs).copied().collect();
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
    Tensor::new(&shape, values)
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
fn attention_axes(reader: &mut Reader, given: Option<Vec<i64>>, query: &Sizes) -> Vec<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault, text};

    fn projection(shape: &[usize], shared: usize) -> Projection {
        let zeros = |shape: &[usize]| Tensor::new(shape, vec![0.0; shape.iter().product()]);
        Projection { kernel: zeros(shape), bias: Some(zeros(&shape[shared..])) }
    }

    /// Two heads of three channels.
    fn attention(axes: &[usize], output: &[usize], gate: bool) -> MultiHeadAttention {
        let input = || projection(&[8, 2, 3], 1);
        MultiHeadAttention {
            query: input(),
            value: input(),
            key: input(),
            gate: gate.then(input),
            output: projection(&[&[2, 3], output].concat(), 2),
            axes: axes.to_vec(),
        }
    }

    #[test]
    fn positions_of_each_head_are_the_rows_of_a_matrix() {
        let by = attention(&[0], &[9], true);
        check(
            &["5, 8", "7, 8"],
            |builder, inputs| by.lower(builder, &[inputs[0], inputs[1], inputs[1]]),
            "
            %0 = input() : [batch, 5, 8]
            %1 = unresolved(%0) : [batch, 7, 8]
            %2 = constant(…) : [8, 6]
            %3 = matrix_product(%0, %2) : [batch, 5, 6]
            %4 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [6]
            %5 = add(%3, %4) : [batch, 5, 6]
            %6 = reshape(%5) : [batch, 5, 2, 3]
            %7 = transpose(%6, order [0, 2, 1, 3]) : [batch, 2, 5, 3]
            %8 = constant(…) : [8, 6]
            %9 = matrix_product(%1, %8) : [batch, 7, 6]
            %10 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [6]
            %11 = add(%9, %10) : [batch, 7, 6]
            %12 = reshape(%11) : [batch, 7, 2, 3]
            %13 = transpose(%12, order [0, 2, 1, 3]) : [batch, 2, 7, 3]
            %14 = constant(…) : [8, 6]
            %15 = matrix_product(%1, %14) : [batch, 7, 6]
            %16 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [6]
            %17 = add(%15, %16) : [batch, 7, 6]
            %18 = reshape(%17) : [batch, 7, 2, 3]
            %19 = transpose(%18, order [0, 2, 1, 3]) : [batch, 2, 7, 3]
            %20 = matrix_product(%7, %13, right transposed) : [batch, 2, 5, 7]
            %21 = softmax(%20, axis 3) : [batch, 2, 5, 7]
            %22 = matrix_product(%21, %19) : [batch, 2, 5, 3]
            %23 = transpose(%22, order [0, 2, 1, 3]) : [batch, 5, 2, 3]
            %24 = reshape(%23) : [batch, 5, 6]
            %25 = constant(…) : [8, 6]
            %26 = matrix_product(%0, %25) : [batch, 5, 6]
            %27 = constant(0.0, 0.0, 0.0, 0.0, 0.0, 0.0) : [6]
            %28 = add(%26, %27) : [batch, 5, 6]
            %29 = sigmoid(%28) : [batch, 5, 6]
            %30 = multiply(%24, %29) : [batch, 5, 6]
            %31 = constant(…) : [6, 9]
            %32 = matrix_product(%30, %31) : [batch, 5, 9]
            %33 = constant(…) : [9]
            %34 = add(%32, %33) : [batch, 5, 9]
            outputs %34
            ",
        );
    }

    /// The lines of the text that move values.
    fn moves(axes: &[usize], output: &[usize], input: &str) -> Vec<String> {
        let by = attention(axes, output, false);
        let text = text(&[input], |builder, inputs| by.lower(builder, &[inputs[0]; 3]));
        let moves =
            |line: &&str| ["reshape(", "transpose(", "softmax("].iter().any(|name| line.contains(name));
        let shown = |line: &str| line.split_once(" = ").map(|(_, line)| line.to_owned());
        text.lines().filter(moves).filter_map(shown).collect()
    }

    #[test]
    fn several_axes_of_positions_become_one() {
        let once = [
            "reshape(%4) : [batch, 4, 5, 6, 2, 3]",
            "transpose(%5, order [0, 2, 4, 1, 3, 5]) : [batch, 5, 2, 4, 6, 3]",
            "reshape(%6) : [batch, 5, 2, 24, 3]",
        ];
        let found = moves(&[0, 2], &[7, 2], "4, 5, 6, 8");
        assert_eq!(found[..3], once);
        assert_eq!(
            found[9..],
            [
                "softmax(%22, axis 4) : [batch, 5, 2, 24, 24]",
                "reshape(%24) : [batch, 5, 2, 4, 6, 3]",
                "transpose(%25, order [0, 3, 1, 4, 2, 5]) : [batch, 4, 5, 6, 2, 3]",
                "reshape(%26) : [batch, 4, 5, 6, 6]",
                "reshape(%31) : [batch, 4, 5, 6, 7, 2]",
            ]
        );
    }

    #[test]
    fn inputs_that_do_not_fit_are_faults() {
        let by = attention(&[1], &[8], false);
        let check = |inputs: &[&str], expected: &str| {
            assert_eq!(fault(inputs, |builder, inputs| by.lower(builder, inputs)), expected);
        };
        check(&["4, 5, 8"], "it is called on 1 inputs, expected query, value and key");
        check(&["4, 5, 7"; 3], "its input has shape [4, 5, 7], expected 8 on the last axis");
        check(&["8"; 3], "its input has shape [8], expected [positions…, channels]");
        check(
            &["4, 5, 8", "4, 6, 8", "4, 5, 8"],
            "its inputs have shapes [4, 5, 8] and [4, 6, 8] and [4, 5, 8], expected some that fit together",
        );
        check(
            &["4, 5, 8", "3, 6, 8", "3, 6, 8"],
            "its inputs have shapes [4, 5, 8] and [3, 6, 8] and [3, 6, 8], expected some that fit together",
        );
    }
}
