//! Dynamic sizes: `tf.shape(x)[0]`, and what a model computes from them. They are known when the model is loaded, or are
//! the batch. So they need no operations. Where they are arguments of another operation they become its settings.

use std::borrow::Cow;

use model::Shape;
use serde_json::{Map, Value};

use crate::architecture::{ARGUMENTS, INPUT, LayerSpec};
use crate::json::shown;

/// Most sizes in a list. No tensor has more axes.
const MAX_SIZES: usize = 16;

/// A size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// The batch size times this number.
    Batch(usize),
    /// Known.
    Known(i64),
    /// Unknown: the model leaves it open.
    Open,
}

/// The output of an operation on sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sizes {
    One(Size),
    List(Vec<Size>),
}

/// An input of an operation.
pub(super) struct Input<'a> {
    /// The sizes, where the input is sizes.
    pub(super) sizes: Option<&'a Sizes>,
    /// The shape of the values, where they are known.
    pub(super) shape: Option<&'a Shape>,
}

/// Returns the sizes that an operation asks for or computes from others; `None` for an operation on values.
///
/// # Errors
/// What it does with sizes is not supported.
pub(super) fn of(layer: &LayerSpec, inputs: &[Input]) -> Option<Result<Sizes, String>> {
    if ["tf.compat.v1.shape", "tf.shape"].contains(&layer.class.as_str()) {
        let [Input { sizes: None, shape }] = inputs else { return None };
        // Nothing is known of a layer with faults, which were reported.
        let Some(shape) = shape else { return Some(Ok(Sizes::List(vec![Size::Open; MAX_SIZES]))) };
        let size = |size: &model::Size| {
            size.known().and_then(|size| i64::try_from(size).ok()).map_or(Size::Open, Size::Known)
        };
        let batch = Size::Batch(shape.rows());
        return Some(Ok(Sizes::List(std::iter::once(batch).chain(shape.iter().skip(1).map(size)).collect())));
    }
    // Among values a size is an argument, if it is not an operand.
    if inputs.is_empty() || !inputs.iter().all(|input| input.sizes.is_some()) {
        return None;
    }
    let by: fn(i64, i64) -> Option<i64> = match layer.class.as_str() {
        "tf.__operators__.getitem" => return Some(taken_out(layer, inputs)),
        "tf.stack" | "tf.concat" => return Some(in_a_row(layer, inputs)),
        "tf.cast" | "tf.identity" => return inputs.first()?.sizes.cloned().map(Ok),
        "tf.math.multiply" => i64::checked_mul,
        "tf.__operators__.add" | "tf.math.add" => i64::checked_add,
        "tf.math.subtract" => i64::checked_sub,
        "tf.math.floordiv" => i64::checked_div_euclid,
        _ => return Some(Err("it computes with sizes what is not supported".to_owned())),
    };
    Some(combined(layer, inputs, by))
}

/// `sizes[1]`, `sizes[1:3]`.
fn taken_out(layer: &LayerSpec, inputs: &[Input]) -> Result<Sizes, String> {
    let spec = layer.config.get("slice_spec").unwrap_or(&Value::Null);
    let misfit = || format!("it takes {} out of sizes, which is not supported", shown(spec));
    let [Input { sizes: Some(Sizes::List(list)), .. }] = inputs else { return Err(misfit()) };
    let spec = match spec.as_array().map(Vec::as_slice) {
        Some([only]) => only,
        _ => spec,
    };
    let index_of = |index: i64| {
        let from_front = if index < 0 { index + i64::try_from(list.len()).ok()? } else { index };
        usize::try_from(from_front).ok()
    };
    if let Some(index) = spec.as_i64() {
        let found = index_of(index).and_then(|index| list.get(index));
        return found.map(|size| Sizes::One(*size)).ok_or_else(misfit);
    }
    let bound = |key: &str, default: usize| match spec.get(key) {
        None | Some(Value::Null) => Some(default),
        Some(value) => index_of(value.as_i64()?).map(|bound| bound.min(list.len())),
    };
    let plain_step = spec.get("step").is_none_or(|step| step.is_null() || *step == 1);
    let range = bound("start", 0).zip(bound("stop", list.len())).filter(|_| spec.is_object() && plain_step);
    let found = range.and_then(|(start, stop)| list.get(start..stop));
    found.map(|sizes| Sizes::List(sizes.to_vec())).ok_or_else(misfit)
}

/// `tf.stack([a, b, 3])`, `tf.concat([sizes[:1], [192]], 0)`.
fn in_a_row(layer: &LayerSpec, inputs: &[Input]) -> Result<Sizes, String> {
    let list = layer.config.get(ARGUMENTS).and_then(|arguments| arguments.get(0)).unwrap_or(&Value::Null);
    let mut row = Vec::new();
    if !append(list, inputs, &mut row, 3) || row.len() > MAX_SIZES {
        return Err(format!("it puts {} in a row, expected at most {MAX_SIZES} sizes", shown(list)));
    }
    Ok(Sizes::List(row))
}

fn append(value: &Value, inputs: &[Input], row: &mut Vec<Size>, depth: usize) -> bool {
    if let Some(sizes) = input(value, inputs) {
        match sizes {
            Sizes::One(size) => row.push(*size),
            Sizes::List(list) => row.extend(list),
        }
    } else if let Some(number) = value.as_i64() {
        row.push(Size::Known(number));
    } else {
        let list = value.as_array().filter(|_| depth > 0);
        return row.len() <= MAX_SIZES
            && list.is_some_and(|list| list.iter().all(|value| append(value, inputs, row, depth - 1)));
    }
    true
}

/// Two operands, element by element.
fn combined(layer: &LayerSpec, inputs: &[Input], by: fn(i64, i64) -> Option<i64>) -> Result<Sizes, String> {
    let operand = |position: usize, name: &str| {
        let arguments = layer.config.get(ARGUMENTS).and_then(|arguments| arguments.get(position));
        let value = arguments.or_else(|| layer.config.get(name)).unwrap_or(&Value::Null);
        let number = || value.as_i64().map(|number| Sizes::One(Size::Known(number)));
        let found = input(value, inputs).cloned().or_else(number);
        found.ok_or_else(|| format!("it computes with a size and {}, which is not supported", shown(value)))
    };
    let (left, right) = (operand(0, "x")?, operand(1, "y")?);
    let times_batch = layer.class == "tf.math.multiply";
    let one = |left: Size, right: Size| match (left, right) {
        (Size::Known(left), Size::Known(right)) => by(left, right).map(Size::Known),
        (Size::Batch(batch), Size::Known(times)) | (Size::Known(times), Size::Batch(batch))
            if times_batch =>
        {
            usize::try_from(times).ok().and_then(|times| batch.checked_mul(times)).map(Size::Batch)
        }
        (Size::Open, Size::Known(_) | Size::Open) | (Size::Known(_), Size::Open) => Some(Size::Open),
        (Size::Batch(_), _) | (_, Size::Batch(_)) => None,
    };
    let all = match (left, right) {
        (Sizes::One(left), Sizes::One(right)) => one(left, right).map(Sizes::One),
        (Sizes::List(list), Sizes::One(right)) => {
            list.into_iter().map(|left| one(left, right)).collect::<Option<_>>().map(Sizes::List)
        }
        (Sizes::One(left), Sizes::List(list)) => {
            list.into_iter().map(|right| one(left, right)).collect::<Option<_>>().map(Sizes::List)
        }
        (Sizes::List(left), Sizes::List(right)) if left.len() == right.len() => left
            .into_iter()
            .zip(right)
            .map(|(left, right)| one(left, right))
            .collect::<Option<_>>()
            .map(Sizes::List),
        (Sizes::List(_), Sizes::List(_)) => None,
    };
    all.ok_or_else(|| "it computes with the batch's size what is not supported".to_owned())
}

fn input<'a>(value: &Value, inputs: &[Input<'a>]) -> Option<&'a Sizes> {
    let number = value.get(INPUT)?.as_u64().and_then(|number| usize::try_from(number).ok())?;
    inputs.get(number)?.sizes
}

/// An operation's config with inputs that are sizes replaced by these, and the other inputs renumbered. The batch is null,
/// as in Keras 3.
pub(super) fn settled<'a>(
    config: &'a Map<String, Value>,
    sizes: &[Option<&Sizes>],
) -> Cow<'a, Map<String, Value>> {
    if sizes.iter().all(Option::is_none) {
        return Cow::Borrowed(config);
    }
    let config = config.iter().map(|(key, value)| (key.clone(), replaced(value, sizes)));
    Cow::Owned(config.collect())
}

fn replaced(value: &Value, sizes: &[Option<&Sizes>]) -> Value {
    let number = value.get(INPUT).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    match (number, value) {
        (Some(number), _) => match sizes.get(number).copied().flatten() {
            Some(Sizes::One(size)) => written(*size),
            Some(Sizes::List(list)) => list.iter().copied().map(written).collect(),
            None => {
                let before = sizes.iter().take(number).filter(|sizes| sizes.is_none()).count();
                serde_json::json!({ INPUT: before })
            }
        },
        (None, Value::Array(list)) => list.iter().map(|value| replaced(value, sizes)).collect(),
        (None, _) => value.clone(),
    }
}

fn written(size: Size) -> Value {
    match size {
        Size::Batch(1) => Value::Null,
        // A reshape infers this size.
        Size::Batch(_) | Size::Open => Value::from(-1),
        Size::Known(size) => Value::from(size),
    }
}
