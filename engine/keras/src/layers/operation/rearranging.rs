//! Operations that move values: they add, drop, transpose, split and repeat axes.

use std::sync::Arc;

use model::{Builder, Fault, PadMode, Range};
use serde_json::Value;

use super::operand;
use crate::architecture::Dialect;
use crate::json::{number, plain, shown};
use crate::layers::{Layer, Operand, Part};
use crate::reader::Reader;
use crate::shapes::{Sizes, axis_after_batch, describe};

/// [`Layer::Gather`].
#[derive(Debug, Clone)]
pub struct Gather {
    /// The axis, counted from 0 after the batch.
    pub axis: usize,
    /// The indices taken from the axis, in their new order.
    pub indices: Arc<[usize]>,
}

impl Gather {
    pub(crate) fn lower(&self, builder: &mut Builder, x: model::Value) -> Result<model::Value, Fault> {
        builder.gather(x, self.axis + 1, Arc::clone(&self.indices))
    }
}

/// [`Layer::Pad`].
#[derive(Debug, Clone)]
pub struct Pad {
    /// How much is added before and after each axis, the batch excepted.
    pub sides: Vec<[usize; 2]>,
    /// What is added.
    pub mode: PadMode,
}

impl Pad {
    pub(crate) fn lower(&self, builder: &mut Builder, x: model::Value) -> Result<model::Value, Fault> {
        let edges: Vec<[usize; 2]> = std::iter::once([0, 0]).chain(self.sides.iter().copied()).collect();
        builder.pad(x, &edges, self.mode)
    }
}

/// Most elements of one axis of an output.
const MAX_INDICES: usize = 1 << 20;

/// Most outputs of one operation.
const MAX_OUTPUTS: usize = 1 << 12;

/// Reads an operation of this family. Returns `None` for any other.
pub(super) fn operation(class: &str, reader: &mut Reader) -> Option<Layer> {
    let read: fn(&mut Reader, &Sizes) -> Result<Layer, String> = match class {
        "tf.expand_dims" | "ops.ExpandDims" => expand_dims,
        "tf.squeeze" | "tf.compat.v1.squeeze" | "ops.Squeeze" => squeeze,
        "ops.Swapaxes" => swap_axes,
        "ops.Moveaxis" => move_axis,
        "tf.linalg.matrix_transpose" => transpose_matrix,
        "tf.reverse" | "ops.Flip" => flip,
        "tf.split" | "ops.Split" => split,
        "tf.unstack" | "ops.Unstack" => unstack,
        "tf.tile" | "ops.Tile" => tile,
        "tf.repeat" | "ops.Repeat" => repeat,
        "tf.roll" | "ops.Roll" => roll,
        "tf.gather" | "tf.compat.v1.gather" | "ops.Take" => take,
        "tf.pad" | "tf.compat.v1.pad" | "ops.Pad" => pad,
        "tf.slice" => slice,
        "ops.Ravel" => |_, _| Err("it flattens the batch too, expected one that keeps it".to_owned()),
        "tf.zeros_like" | "ops.ZerosLike" => |reader, _| Ok(full_like(reader, 0.0)),
        "tf.ones_like" | "ops.OnesLike" => |reader, _| Ok(full_like(reader, 1.0)),
        "ops.FullLike" => |reader, _| {
            let value = reader.argument(1, &["fill_value"]).and_then(number);
            Ok(full_like(reader, value.ok_or("its value is not a number")?))
        },
        "tf.image.flip_left_right" => |_, input| flipped(&[2], input),
        "tf.image.flip_up_down" => |_, input| flipped(&[1], input),
        "tf.ensure_shape" => |reader, _| {
            reader.ignore(&["shape"]);
            Ok(Layer::Identity)
        },
        _ => return None,
    };
    reader.subject();
    let Some(input) = reader.input() else {
        reader.ignore_everything();
        reader.unsure();
        return Some(Layer::Identity);
    };
    Some(read(reader, input).unwrap_or_else(|problem| {
        reader.fault(problem);
        Layer::Identity
    }))
}

fn expand_dims(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let axes = reader.integers("axis").ok_or("it has no `axis`")?;
    let mut parts = vec![Part::WHOLE; input.len()];
    let [axis] = axes[..] else { return Err(format!("`axis` is {axes:?}, expected one axis")) };
    let rank = i64::try_from(input.len()).unwrap_or(i64::MAX) + 2;
    let from_front = if axis < 0 { axis + rank } else { axis };
    match usize::try_from(from_front - 1) {
        Ok(at) if at <= input.len() => parts.insert(at, Part::NewAxis),
        Ok(_) | Err(_) => return Err(format!("`axis` is {axis}, expected one after the batch")),
    }
    Ok(Layer::Slice { parts })
}

fn squeeze(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let of_one: Vec<usize> = (0..input.len()).filter(|&axis| input[axis] == Some(1)).collect();
    let axes: Vec<usize> = match reader.integers("axis").filter(|axes| !axes.is_empty()) {
        Some(axes) => axes.iter().map(|&axis| axis_after_batch(axis, input)).collect::<Result<_, _>>()?,
        // Which axes have one element has to be known.
        None if input.contains(&None) => {
            return Err(format!(
                "its input has shape {}, expected fixed sizes or an `axis`",
                describe(input)
            ));
        }
        None => of_one.clone(),
    };
    if let Some(axis) = axes.iter().find(|axis| !of_one.contains(axis)) {
        return Err(format!("its input has shape {}, expected 1 on axis {}", describe(input), axis + 1));
    }
    let part = |axis| if axes.contains(&axis) { Part::At(0) } else { Part::WHOLE };
    Ok(Layer::Slice { parts: (0..input.len()).map(part).collect() })
}

fn swap_axes(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let one = axis_after_batch(reader.integer_or("axis1", 0), input)?;
    let other = axis_after_batch(reader.integer_or("axis2", 0), input)?;
    let mut axes: Vec<usize> = (1..=input.len()).collect();
    axes.swap(one, other);
    Ok(Layer::Permute { axes })
}

fn move_axis(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let from = axis_after_batch(reader.integer_or("source", 0), input)?;
    let to = axis_after_batch(reader.integer_or("destination", 0), input)?;
    let mut axes: Vec<usize> = (1..=input.len()).collect();
    let axis = axes.remove(from);
    axes.insert(to, axis);
    Ok(Layer::Permute { axes })
}

fn transpose_matrix(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    reader.unset("conjugate");
    let mut axes: Vec<usize> = (1..=input.len()).collect();
    let [.., row, column] = &mut axes[..] else {
        return Err(format!("its input has shape {}, expected two axes", describe(input)));
    };
    std::mem::swap(row, column);
    Ok(Layer::Permute { axes })
}

fn flip(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let axes = reader.integers("axis").ok_or("it turns the batch around too, expected an `axis` after it")?;
    flipped(&axes, input)
}

fn flipped(axes: &[i64], input: &Sizes) -> Result<Layer, String> {
    let axes = axes.iter().map(|&axis| axis_after_batch(axis, input)).collect::<Result<Vec<_>, _>>()?;
    let backwards = Part::Range(Range { step: -1, ..Range::WHOLE });
    let part = |axis| if axes.contains(&axis) { backwards } else { Part::WHOLE };
    Ok(Layer::Slice { parts: (0..input.len()).map(part).collect() })
}

/// Splits into equal parts; in Keras 2 also into parts of given sizes, in Keras 3 also before given indices.
fn split(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    reader.unset("num");
    let axis = axis_after_batch(reader.integer_or("axis", 0), input)?;
    let size = fixed(axis, input)?;
    let whole = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
    let list =
        |value: &Value| value.as_array().and_then(|list| list.iter().map(whole).collect::<Option<Vec<_>>>());
    let (sizes, indices) = (reader.value("num_or_size_splits"), reader.value("indices_or_sections"));
    let misfit = || {
        let found = sizes.or(indices).map_or_else(|| "missing".to_owned(), shown);
        format!("it splits an axis of {size} by {found}, expected parts that fill it")
    };
    let bounds: Vec<usize> = if let Some(count) = sizes.or(indices).and_then(whole) {
        let fits = (1..=MAX_OUTPUTS).contains(&count) && size.is_multiple_of(count);
        if !fits {
            return Err(misfit());
        }
        (0..=count).map(|part| part * (size / count)).collect()
    } else if let Some(sizes) = sizes.and_then(list) {
        let sums = sizes.iter().scan(0_usize, |sum, size| {
            *sum = sum.saturating_add(*size);
            Some(*sum)
        });
        std::iter::once(0).chain(sums).collect()
    } else {
        let indices = indices.and_then(list).ok_or_else(misfit)?;
        std::iter::once(0).chain(indices).chain([size]).collect()
    };
    let fills = bounds.last() == Some(&size) && bounds.len() <= MAX_OUTPUTS;
    if !fills || !bounds.is_sorted_by(|one, next| one < next) {
        return Err(misfit());
    }
    let part = |bounds: &[usize]| {
        let bound = |index: usize| i64::try_from(bounds[index]).ok();
        with_part(axis, input, Part::Range(Range { start: bound(0), stop: bound(1), step: 1 }))
    };
    Ok(Layer::MultiOutput(bounds.windows(2).map(part).collect()))
}

fn unstack(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let axis = axis_after_batch(reader.integer_or("axis", 0), input)?;
    let size = fixed(axis, input)?;
    let count = reader.size_or("num", size);
    if count != size || size > MAX_OUTPUTS {
        return Err(format!(
            "it takes {count} parts out of an axis of {size}, expected all, {MAX_OUTPUTS} at most"
        ));
    }
    let part = |index: usize| i64::try_from(index).ok().map(|index| with_part(axis, input, Part::At(index)));
    Ok(Layer::MultiOutput((0..size).filter_map(part).collect()))
}

fn with_part(axis: usize, input: &Sizes, part: Part) -> Layer {
    let mut parts = vec![Part::WHOLE; input.len()];
    parts[axis] = part;
    Layer::Slice { parts }
}

fn tile(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let given =
        reader.integers("multiples").or_else(|| reader.integers("repeats")).ok_or("it has no numbers")?;
    let times: Option<Vec<usize>> =
        given.iter().map(|&times| usize::try_from(times).ok().filter(|times| *times > 0)).collect();
    let times = match times.as_deref() {
        Some([1, rest @ ..]) if rest.len() == input.len() => rest.to_vec(),
        Some(_) | None => {
            return Err(format!(
                "it repeats by {given:?}, expected 1 for the batch and a number for each axis"
            ));
        }
    };
    let mut layers = Vec::new();
    for (axis, times) in times.into_iter().enumerate().filter(|(_, times)| *times > 1) {
        let size = fixed(axis, input)?;
        let length = limited(size, times)?;
        layers.push(Layer::Gather(Gather { axis, indices: (0..length).map(|index| index % size).collect() }));
    }
    Ok(Layer::Sequential(layers))
}

fn repeat(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let axis = reader.integers("axis").unwrap_or_default();
    let [axis] = axis[..] else { return Err("it flattens the batch too, expected an `axis`".to_owned()) };
    let axis = axis_after_batch(axis, input)?;
    let size = fixed(axis, input)?;
    let times = reader.size("repeats");
    let length = limited(size, times)?;
    Ok(Layer::Gather(Gather { axis, indices: (0..length).map(|index| index / times).collect() }))
}

fn roll(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let shifts = reader.integers("shift").ok_or("it has no `shift`")?;
    let axes = reader.integers("axis").ok_or("it rolls the batch too, expected an `axis`")?;
    if shifts.len() != axes.len() {
        return Err(format!("`shift` is {shifts:?} and `axis` {axes:?}, expected as many"));
    }
    let mut layers = Vec::new();
    for (shift, axis) in shifts.into_iter().zip(axes) {
        let axis = axis_after_batch(axis, input)?;
        let size = limited(fixed(axis, input)?, 1)?;
        let signed = i64::try_from(size).unwrap_or(i64::MAX);
        let first = usize::try_from(shift.rem_euclid(signed)).map_or(0, |shift| (size - shift) % size);
        layers.push(Layer::Gather(Gather {
            axis,
            indices: (0..size).map(|index| (index + first) % size).collect(),
        }));
    }
    Ok(Layer::Sequential(layers))
}

fn take(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    reader.unset("validate_indices");
    reader.unset("batch_dims");
    let indices = reader.argument(1, &["indices"]).ok_or("it has no `indices`")?;
    let axis = reader.integers("axis").ok_or("it takes images out of the batch, expected an `axis`")?;
    let [axis] = axis[..] else { return Err("it has several axes, expected one".to_owned()) };
    let axis = axis_after_batch(axis, input)?;
    let size = fixed(axis, input)?;
    let signed = i64::try_from(size).unwrap_or(i64::MAX);
    let index = |value: &Value| {
        let index = value.as_i64()?;
        // Only Keras 3 takes negative indices.
        let index = if index < 0 && reader.dialect == Dialect::Keras3 { index + signed } else { index };
        usize::try_from(index).ok().filter(|index| *index < size)
    };
    let list = plain(indices).as_array().filter(|list| !list.is_empty() && list.len() <= MAX_INDICES);
    let found: Option<Arc<[usize]>> = list.and_then(|list| list.iter().map(index).collect());
    let indices = found.ok_or_else(|| {
        format!("it takes {} of an axis of {size}, expected a list of indices", shown(indices))
    })?;
    Ok(Layer::Gather(Gather { axis, indices }))
}

fn pad(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let value = reader.value("constant_values");
    let mode = match reader.value("mode").map(|mode| mode.as_str().unwrap_or_default().to_ascii_lowercase()) {
        None => PadMode::Constant(0.0),
        Some(mode) if mode == "constant" => {
            let value = value.map_or(Some(0.0), number).ok_or("`constant_values` is not a number")?;
            PadMode::Constant(value)
        }
        Some(mode) if mode == "reflect" => PadMode::Reflect,
        Some(mode) if mode == "symmetric" => PadMode::Symmetric,
        Some(mode) => return Err(format!("`mode` is \"{mode}\", expected constant, reflect or symmetric")),
    };
    let given = reader.value("paddings").or_else(|| reader.value("pad_width")).ok_or("it has no numbers")?;
    let size =
        |value: &Value| value.as_u64().filter(|size| *size < 1 << 31).and_then(|n| usize::try_from(n).ok());
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [before, after] => Some([size(before)?, size(after)?]),
        _ => None,
    };
    let sides: Option<Vec<[usize; 2]>> = given.as_array().and_then(|list| list.iter().map(pair).collect());
    match sides.as_deref() {
        Some([[0, 0], sides @ ..]) if sides.len() == input.len() => {
            Ok(Layer::Pad(Pad { sides: sides.to_vec(), mode }))
        }
        Some(_) | None => Err(format!(
            "it pads by {}, expected nothing for the batch and two numbers an axis",
            shown(given)
        )),
    }
}

fn slice(reader: &mut Reader, input: &Sizes) -> Result<Layer, String> {
    let begin = reader.integers("begin").ok_or("it has no `begin`")?;
    let size = reader.integers("size").ok_or("it has no `size`")?;
    let whole_batch = begin.first() == Some(&0) && size.first() == Some(&-1);
    if !whole_batch || begin.len() != input.len() + 1 || size.len() != begin.len() {
        return Err(format!(
            "it begins at {begin:?} and takes {size:?}, expected the whole batch and all axes"
        ));
    }
    let part = |(&begin, &size): (&i64, &i64)| {
        let sound = (0..1 << 31).contains(&begin) && (size == -1 || (1..1 << 31).contains(&size));
        let stop = (size != -1).then_some(begin + size);
        sound.then_some(Part::Range(Range { start: Some(begin), stop, step: 1 }))
    };
    let parts: Option<Vec<Part>> = begin.iter().zip(&size).skip(1).map(part).collect();
    let parts =
        parts.ok_or_else(|| format!("it begins at {begin:?} and takes {size:?}, expected positions"))?;
    // TensorFlow refuses a range that reaches beyond its axis, which a slice in Python cuts off.
    for (part, size) in parts.iter().zip(input) {
        if let (Part::Range(Range { stop: Some(stop), .. }), Some(size)) = (part, size)
            && usize::try_from(*stop).is_ok_and(|stop| stop > *size)
        {
            return Err(format!("it takes more than there is of an axis of {size}"));
        }
    }
    Ok(Layer::Slice { parts })
}

fn full_like(reader: &mut Reader, value: f32) -> Layer {
    // All values are floats here, whatever the model says.
    reader.ignore(&["dtype"]);
    Layer::FullLike { value }
}

fn fixed(axis: usize, input: &Sizes) -> Result<usize, String> {
    input[axis].ok_or_else(|| format!("axis {} of its input has no fixed size, expected one", axis + 1))
}

fn limited(size: usize, times: usize) -> Result<usize, String> {
    let length = size.checked_mul(times).filter(|length| *length <= MAX_INDICES);
    length.ok_or_else(|| {
        format!("it makes {size} elements {times} times as many, expected {MAX_INDICES} at most")
    })
}

/// A constant that a layer is called on. It is the same for all images.
pub(super) fn constant(reader: &mut Reader) -> Layer {
    let value = reader.value("value");
    match operand(reader, value) {
        Operand::Constant(tensor) if tensor.shape.first() == Some(&1) => Layer::Constant(tensor),
        Operand::Constant(tensor) => {
            reader.fault(format!("it is a constant of shape {:?}, expected 1 for the batch", tensor.shape));
            Layer::Identity
        }
        Operand::Input(_) => Layer::Identity,
    }
}
