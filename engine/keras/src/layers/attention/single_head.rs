//! `Attention` and `AdditiveAttention`, which have a single head and no projections.

use model::{Binary, Builder, Fault, Reduction, Size, Tensor, Unary, Value};

use super::{misfit, weighted};
use crate::json::shown;
use crate::layers::Layer;
use crate::reader::Reader;

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

impl Attention {
    pub(crate) fn lower(&self, builder: &mut Builder, inputs: &[Value]) -> Result<Value, Fault> {
        let (query, value, key) = match *inputs {
            [query, value] => (query, value, value),
            [query, value, key] => (query, value, key),
            _ => return Err(Fault(format!("it is called on {} inputs, expected 2 or 3", inputs.len()))),
        };
        self.check(builder, [query, value, key], inputs)?;
        let scores = match &self.score {
            AttentionScore::Dot => {
                let products = builder.times_transpose(query, key)?;
                self.scaled(builder, products)?
            }
            AttentionScore::Concat { weight } => {
                let sums = sums(builder, query, key)?;
                let sums = self.scaled(builder, sums)?;
                let bent = builder.unary(Unary::Tanh, sums)?;
                let total = builder.reduce_dropped(Reduction::Sum, bent, &[3])?;
                builder.with_constant(Binary::Multiply, total, weight)?
            }
            AttentionScore::Additive => {
                let sums = sums(builder, query, key)?;
                let bent = builder.unary(Unary::Tanh, sums)?;
                let bent = self.scaled(builder, bent)?;
                builder.reduce_dropped(Reduction::Sum, bent, &[3])?
            }
        };
        weighted(builder, scores, value)
    }

    fn scaled(&self, builder: &mut Builder, values: Value) -> Result<Value, Fault> {
        match &self.scale {
            Some(scale) => builder.with_constant(Binary::Multiply, values, scale),
            None => Ok(values),
        }
    }

    /// A sum, unlike a product, broadcasts over a single channel, which attention does not.
    fn check(
        &self,
        builder: &Builder,
        [query, value, key]: [Value; 3],
        inputs: &[Value],
    ) -> Result<(), Fault> {
        let ([_, _, channels], [_, value_positions, _], [_, key_positions, key_channels]) =
            (&builder.shape(query)[..], &builder.shape(value)[..], &builder.shape(key)[..])
        else {
            return Err(Fault(format!("{}, each [positions, channels]", misfit(builder, inputs))));
        };
        let scale = self.scale.as_ref().map(|scale| &scale.shape);
        let own = match self.score {
            AttentionScore::Additive => scale.and_then(|scale| scale.first().copied()),
            AttentionScore::Dot | AttentionScore::Concat { .. } => None,
        };
        let fits = channels.known().is_some()
            && channels == key_channels
            && own.is_none_or(|own| *channels == Size::Known(own))
            && key_positions.fitted(*value_positions).is_some();
        if fits { Ok(()) } else { Err(misfit(builder, inputs).into()) }
    }
}

/// The sums of each query and each key, `[batch, queries, keys, channels]`.
fn sums(builder: &mut Builder, queries: Value, keys: Value) -> Result<Value, Fault> {
    let queries = builder.expand(queries, 2)?;
    let keys = builder.expand(keys, 1)?;
    builder.binary(Binary::Add, queries, keys)
}

pub(in crate::layers) fn plain_attention(reader: &mut Reader) -> Layer {
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

pub(in crate::layers) fn additive_attention(reader: &mut Reader) -> Layer {
    reader.ignore(&["dropout", "seed"]);
    reader.unset("causal");
    let scaled = reader.flag_or("use_scale", true);
    let channels = if scaled { reader.channels() } else { None };
    let scale = scaled.then(|| reader.weight(&["scale"], &[channels]));
    Layer::Attention(Attention { score: AttentionScore::Additive, scale })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::lowered::{check, fault};

    #[test]
    fn products_are_scores() {
        let by = Attention { score: AttentionScore::Dot, scale: Some(Tensor::scalar(2.0)) };
        check(
            &["7, 4", "5, 3", "5, 4"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 7, 4]
            %1 = unresolved(%0) : [batch, 5, 3]
            %2 = unresolved(%0) : [batch, 5, 4]
            %3 = matrix_product(%0, %2, right transposed) : [batch, 7, 5]
            %4 = constant(2.0) : []
            %5 = multiply(%3, %4) : [batch, 7, 5]
            %6 = softmax(%5, axis 2) : [batch, 7, 5]
            %7 = matrix_product(%6, %1) : [batch, 7, 3]
            outputs %7
            ",
        );
    }

    #[test]
    fn a_scale_is_before_the_tangent_of_one_sum_and_behind_that_of_the_other() {
        let score = AttentionScore::Concat { weight: Tensor::scalar(3.0) };
        let by = Attention { score, scale: Some(Tensor::scalar(2.0)) };
        check(
            &["7, 4", "5, 4"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 7, 4]
            %1 = unresolved(%0) : [batch, 5, 4]
            %2 = reshape(%0) : [batch, 7, 1, 4]
            %3 = reshape(%1) : [batch, 1, 5, 4]
            %4 = add(%2, %3) : [batch, 7, 5, 4]
            %5 = constant(2.0) : []
            %6 = multiply(%4, %5) : [batch, 7, 5, 4]
            %7 = tanh(%6) : [batch, 7, 5, 4]
            %8 = sum(%7, axes [3]) : [batch, 7, 5]
            %9 = constant(3.0) : []
            %10 = multiply(%8, %9) : [batch, 7, 5]
            %11 = softmax(%10, axis 2) : [batch, 7, 5]
            %12 = matrix_product(%11, %1) : [batch, 7, 4]
            outputs %12
            ",
        );
        let scale = Some(Tensor::vector([1.0, 2.0, 3.0, 4.0]));
        let by = Attention { score: AttentionScore::Additive, scale };
        check(
            &["7, 4", "5, 4"],
            |builder, inputs| by.lower(builder, inputs),
            "
            %0 = input() : [batch, 7, 4]
            %1 = unresolved(%0) : [batch, 5, 4]
            %2 = reshape(%0) : [batch, 7, 1, 4]
            %3 = reshape(%1) : [batch, 1, 5, 4]
            %4 = add(%2, %3) : [batch, 7, 5, 4]
            %5 = tanh(%4) : [batch, 7, 5, 4]
            %6 = constant(1.0, 2.0, 3.0, 4.0) : [4]
            %7 = multiply(%5, %6) : [batch, 7, 5, 4]
            %8 = sum(%7, axes [3]) : [batch, 7, 5]
            %9 = softmax(%8, axis 2) : [batch, 7, 5]
            %10 = matrix_product(%9, %1) : [batch, 7, 4]
            outputs %10
            ",
        );
    }

    #[test]
    fn channels_that_would_only_broadcast_are_faults() {
        let check = |score, scale: Option<Tensor>, inputs: &[&str], expected: &str| {
            let by = Attention { score, scale };
            assert_eq!(fault(inputs, |builder, inputs| by.lower(builder, inputs)), expected);
        };
        let misfit =
            |shapes: &str| format!("its inputs have shapes {shapes}, expected some that fit together");
        check(AttentionScore::Additive, None, &["7, 4", "5, 1"], &misfit("[7, 4] and [5, 1]"));
        let scale = Some(Tensor::vector([1.0; 3]));
        check(AttentionScore::Additive, scale, &["7, 1", "5, 1"], &misfit("[7, 1] and [5, 1]"));
        check(AttentionScore::Dot, None, &["7, 4", "5, 4", "6, 4"], &misfit("[7, 4] and [5, 4] and [6, 4]"));
        let rank = misfit("[4] and [4]") + ", each [positions, channels]";
        check(AttentionScore::Dot, None, &["4", "4"], &rank);
        check(AttentionScore::Dot, None, &["4"], "it is called on 1 inputs, expected 2 or 3");
    }
}
