//! Shape inference: the output shape of each layer. The layers of a model that passes fit together.

use super::layers::{
    AdaptivePool2d, BatchNorm, Conv2d, ConvTranspose2d, Dense, DepthwiseConv2d, Edges, Layer, LayerNorm,
    MergeKind, Padding, Pool2d, Resize, SeparableConv2d, UnitNorm,
};

mod activation;
mod arithmetic;
mod attention;
mod merging;
mod products;
mod rearranging;
mod sizes;
mod slicing;
mod wrapping;

/// Sizes after the batch, `None` for an unknown size.
pub(super) type Shape = Vec<Option<usize>>;

/// Most axes of a shape. TensorFlow supports a few more. Images have three.
const MAX_AXES: usize = 16;

/// Formats a shape for errors: `[224, 224, 3]`, with `?` for an unknown size.
pub(super) fn describe(shape: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// Returns the shape of a layer's output.
///
/// # Errors
/// The layer cannot take these inputs; says why.
pub(super) fn output_shape(layer: &Layer, inputs: &[Shape]) -> Result<Shape, String> {
    let output = output_of_all(layer, inputs)?;
    if output.len() > MAX_AXES {
        return Err(format!("its output has {} axes, expected at most {MAX_AXES}", output.len()));
    }
    sizes::check(&output)?;
    Ok(output)
}

fn output_of_all(layer: &Layer, inputs: &[Shape]) -> Result<Shape, String> {
    match layer {
        Layer::Merge(MergeKind::Subtract) if inputs.len() != 2 => {
            Err(format!("it is called on {} inputs, expected 2", inputs.len()))
        }
        Layer::Merge(_) => merging::merged(inputs),
        Layer::Concatenate { axis } => merging::concatenated(*axis, inputs),
        Layer::Dot(dot) => merging::dot(dot, inputs),
        Layer::Stack { axis } => slicing::stacked(*axis, inputs),
        Layer::Arithmetic(by) => arithmetic::combined(&[&by.left, &by.right], inputs),
        Layer::Comparison(by) => arithmetic::combined(&[&by.left, &by.right], inputs),
        Layer::Select(by) => arithmetic::combined(&[&by.condition, &by.x1, &by.x2], inputs),
        Layer::MultiHeadAttention(layer) => attention::multi_head_attention(layer, inputs),
        Layer::DotProductAttention(layer) => attention::dot_product_attention(layer, inputs),
        Layer::Attention(layer) => attention::attention(layer, inputs),
        Layer::Einsum(einsum) => products::einsum(einsum, inputs),
        Layer::MatrixProduct(product) => products::of_matrices(product, inputs),
        Layer::Constant(tensor) => Ok(tensor.shape.iter().skip(1).map(|&size| Some(size)).collect()),
        Layer::MultiOutput(_) => Err("it has several outputs, expected one".to_owned()),
        Layer::ScaledAdd { .. } if inputs.len() != 2 => {
            Err(format!("it is called on {} inputs, expected 2", inputs.len()))
        }
        Layer::ScaledAdd { .. } => merging::merged(inputs),
        Layer::Conv2dAdd(conv) => match inputs {
            [input, addend] => merging::merged(&[conv2d(conv, input)?, addend.clone()]),
            _ => Err(format!("it is called on {} inputs, expected 2", inputs.len())),
        },
        Layer::Input { shape } => Ok(shape.clone()),
        Layer::Identity
        | Layer::Conv2d(_)
        | Layer::DepthwiseConv2d(_)
        | Layer::SeparableConv2d(_)
        | Layer::ConvTranspose2d(_)
        | Layer::Sequential(_)
        | Layer::TimeDistributed(_)
        | Layer::Function(_)
        | Layer::FullLike { .. }
        | Layer::Gather(_)
        | Layer::Pad(_)
        | Layer::Patches(_)
        | Layer::SpaceToDepth { .. }
        | Layer::DepthToSpace { .. }
        | Layer::OverSequence(_)
        | Layer::ChannelsFirst(_)
        | Layer::Dense(_)
        | Layer::BatchNorm(_)
        | Layer::Activation(_)
        | Layer::Prelu { .. }
        | Layer::Pool2d(_)
        | Layer::GlobalPool2d { .. }
        | Layer::ZeroPadding2d(_)
        | Layer::Cropping2d(_)
        | Layer::UpSampling2d { .. }
        | Layer::Flatten
        | Layer::Reshape { .. }
        | Layer::Permute { .. }
        | Layer::Rescaling { .. }
        | Layer::LayerNorm(_)
        | Layer::Reduction(_)
        | Layer::Slice { .. }
        | Layer::Normalization { .. }
        | Layer::Denormalization { .. }
        | Layer::GroupNorm(_)
        | Layer::UnitNorm(_)
        | Layer::SoftmaxOver { .. }
        | Layer::AdaptivePool2d(_)
        | Layer::Resize(_)
        | Layer::CenterCrop { .. }
        | Layer::AutoContrast { .. }
        | Layer::LocallyConnected2d(_) => match inputs {
            [input] => output_of_one(layer, input),
            _ => Err(format!("it is called on {} inputs, expected 1", inputs.len())),
        },
    }
}

fn output_of_one(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    let output = before_activation(layer, input)?;
    sizes::check(&output)?;
    match activation::of(layer) {
        Some(function) => activation::applied(function, &output),
        None => Ok(output),
    }
}

fn before_activation(layer: &Layer, input: &Shape) -> Result<Shape, String> {
    match layer {
        Layer::Conv2d(conv) | Layer::Conv2dAdd(conv) => conv2d(conv, input),
        Layer::DepthwiseConv2d(conv) => depthwise_conv2d(conv, input),
        Layer::SeparableConv2d(conv) => separable_conv2d(conv, input),
        Layer::ConvTranspose2d(conv) => conv_transpose2d(conv, input),
        Layer::Sequential(layers) => {
            layers.iter().try_fold(input.clone(), |shape, layer| output_shape(layer, &[shape]))
        }
        Layer::TimeDistributed(layer) => wrapping::time_distributed(layer, input),
        Layer::Gather(gather) => rearranging::gathered(gather, input).and_then(bounded),
        Layer::Pad(pad) => rearranging::padded(pad, input).and_then(bounded),
        Layer::Patches(patches) => rearranging::patched(patches, input).and_then(bounded),
        Layer::SpaceToDepth { block_size } => rearranging::space_to_depth(*block_size, input),
        Layer::DepthToSpace { block_size } => rearranging::depth_to_space(*block_size, input),
        Layer::OverSequence(layer) => wrapping::over_sequence(layer, input),
        Layer::ChannelsFirst(layer) => wrapping::channels_first(layer, input),
        Layer::Dense(dense) => fully_connected(dense, input),
        Layer::BatchNorm(norm) => batch_norm(norm, input),
        Layer::LayerNorm(norm) => layer_norm(norm, input),
        Layer::Reduction(reduction) => arithmetic::reduced(reduction, input),
        Layer::Slice { parts } => slicing::sliced(parts, input),
        Layer::Prelu { alpha } => broadcast_into(&alpha.shape, input),
        Layer::Normalization { mean, variance } | Layer::Denormalization { mean, variance } => {
            broadcast_into(&mean.shape, input)?;
            broadcast_into(&variance.shape, input)
        }
        Layer::GroupNorm(norm) => sizes::divided_into_groups(norm, input),
        Layer::UnitNorm(UnitNorm { axes, .. }) | Layer::SoftmaxOver { axes } => sizes::over(axes, input),
        Layer::AdaptivePool2d(AdaptivePool2d { size, .. })
        | Layer::Resize(Resize { size, .. })
        | Layer::CenterCrop { size } => sizes::resized(*size, input),
        Layer::AutoContrast { .. } => image(input).map(|_| input.clone()),
        Layer::LocallyConnected2d(layer) => sizes::locally_connected(layer, input),
        Layer::Rescaling { scale, offset } => {
            broadcast_into(&[scale.len()], input)?;
            broadcast_into(&[offset.len()], input)
        }
        Layer::Pool2d(pool) => pool2d(pool, input),
        Layer::GlobalPool2d { keep_dims, .. } => {
            let [_, _, channels] = image(input)?;
            Ok(if *keep_dims { vec![Some(1), Some(1), channels] } else { vec![channels] })
        }
        Layer::ZeroPadding2d(edges) => zero_padding2d(*edges, input),
        Layer::Cropping2d(edges) => cropping2d(*edges, input),
        Layer::UpSampling2d { factors, .. } => {
            let [height, width, channels] = image(input)?;
            Ok(vec![times(height, factors[0])?, times(width, factors[1])?, channels])
        }
        Layer::Flatten => Ok(vec![product(input)?]),
        Layer::Reshape { target } => reshape(target, input),
        Layer::Permute { axes } => {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(1..=input.len()) {
                return Err(format!("`dims` is {axes:?}, expected every axis of {} once", describe(input)));
            }
            Ok(axes.iter().map(|axis| input[axis - 1]).collect())
        }
        Layer::Input { .. }
        | Layer::Identity
        | Layer::Activation(_)
        | Layer::Function(_)
        | Layer::FullLike { .. }
        | Layer::MultiOutput(_)
        | Layer::Constant(_)
        | Layer::MultiHeadAttention(_)
        | Layer::DotProductAttention(_)
        | Layer::Attention(_)
        | Layer::Einsum(_)
        | Layer::MatrixProduct(_)
        | Layer::Comparison(_)
        | Layer::Select(_)
        | Layer::Merge(_)
        | Layer::Arithmetic(_)
        | Layer::ScaledAdd { .. }
        | Layer::Stack { .. }
        | Layer::Dot(_)
        | Layer::Concatenate { .. } => Ok(input.clone()),
    }
}

fn conv2d(conv: &Conv2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let kernel = &conv.kernel.shape;
    if channels.is_some_and(|channels| channels != kernel[2] * conv.groups) {
        return Err(wrong_channels(input, kernel[2] * conv.groups));
    }
    let window = |axis: usize| Window {
        size: kernel[axis],
        stride: conv.strides[axis],
        dilation: conv.dilation[axis],
        padding: conv.padding,
    };
    Ok(vec![window(0).output_size(height)?, window(1).output_size(width)?, Some(kernel[3])])
}

fn depthwise_conv2d(conv: &DepthwiseConv2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let kernel = &conv.kernel.shape;
    if channels.is_some_and(|channels| channels != kernel[2]) {
        return Err(wrong_channels(input, kernel[2]));
    }
    let window = |axis: usize| Window {
        size: kernel[axis],
        stride: conv.strides[axis],
        dilation: conv.dilation[axis],
        padding: conv.padding,
    };
    Ok(vec![window(0).output_size(height)?, window(1).output_size(width)?, times(channels, kernel[3])?])
}

fn separable_conv2d(conv: &SeparableConv2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let kernel = &conv.depthwise.shape;
    if channels.is_some_and(|channels| channels != kernel[2]) {
        return Err(wrong_channels(input, kernel[2]));
    }
    let window = |axis: usize| Window {
        size: kernel[axis],
        stride: conv.strides[axis],
        dilation: conv.dilation[axis],
        padding: conv.padding,
    };
    Ok(vec![window(0).output_size(height)?, window(1).output_size(width)?, Some(conv.pointwise.shape[3])])
}

fn conv_transpose2d(conv: &ConvTranspose2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let kernel = &conv.kernel.shape;
    if channels.is_some_and(|channels| channels != kernel[3]) {
        return Err(wrong_channels(input, kernel[3]));
    }
    let size = |axis: usize, input: Option<usize>| input.map(|size| conv.output_size(axis, size)).transpose();
    Ok(vec![size(0, height)?, size(1, width)?, Some(kernel[2])])
}

fn fully_connected(dense: &Dense, input: &Shape) -> Result<Shape, String> {
    let Some((last, before)) = input.split_last() else {
        return Err("its input has no axis after the batch, expected at least one".to_owned());
    };
    if last.is_some_and(|size| size != dense.kernel.shape[0]) {
        return Err(wrong_channels(input, dense.kernel.shape[0]));
    }
    Ok(before.iter().copied().chain([Some(dense.kernel.shape[1])]).collect())
}

fn batch_norm(norm: &BatchNorm, input: &Shape) -> Result<Shape, String> {
    let axis = axis_after_batch(norm.axis, input)?;
    let size = norm.mean.shape[0];
    if input[axis].is_some_and(|found| found != size) {
        return Err(format!(
            "its input has shape {}, expected {size} on axis {}",
            describe(input),
            norm.axis
        ));
    }
    Ok(input.clone())
}

fn layer_norm(norm: &LayerNorm, input: &Shape) -> Result<Shape, String> {
    for weight in [&norm.gamma, &norm.beta].into_iter().flatten() {
        broadcast_into(&weight.shape, input)?;
    }
    Ok(input.clone())
}

/// Converts Keras's `axis`, which counts the batch and may be negative, to an axis counted from 0 after the batch.
pub(super) fn axis_after_batch(axis: i64, input: &Shape) -> Result<usize, String> {
    let rank = i64::try_from(input.len()).unwrap_or(i64::MAX);
    let found = if axis < 0 { axis + rank } else { axis - 1 };
    usize::try_from(found).ok().filter(|&found| found < input.len()).ok_or_else(|| {
        format!("`axis` is {axis}, expected an axis of its input, {} after the batch", describe(input))
    })
}

/// Converts Keras's `axis` with several axes like [`axis_after_batch`], ascending.
pub(super) fn axes_after_batch(axes: &[i64], input: &Shape) -> Result<Vec<usize>, String> {
    let found: Result<Vec<usize>, String> = axes.iter().map(|&axis| axis_after_batch(axis, input)).collect();
    let mut found = found?;
    found.sort_unstable();
    if found.is_empty() || !found.is_sorted_by(|one, next| one < next) {
        return Err(format!("`axis` is {axes:?}, expected axes of its input, each once"));
    }
    Ok(found)
}

fn pool2d(pool: &Pool2d, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let window = |axis: usize| Window {
        size: pool.size[axis],
        stride: pool.strides[axis],
        dilation: 1,
        padding: pool.padding,
    };
    Ok(vec![window(0).output_size(height)?, window(1).output_size(width)?, channels])
}

fn zero_padding2d(edges: Edges, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let grown = |size: Option<usize>, by: usize| size.map(|size| size.saturating_add(by));
    Ok(vec![grown(height, edges.top + edges.bottom), grown(width, edges.left + edges.right), channels])
}

fn cropping2d(edges: Edges, input: &Shape) -> Result<Shape, String> {
    let [height, width, channels] = image(input)?;
    let cut = |size: Option<usize>, by: usize| match size {
        Some(size) if size <= by => {
            Err(format!("it cuts {by} off its input of shape {}, expected less", describe(input)))
        }
        Some(size) => Ok(Some(size - by)),
        None => Ok(None),
    };
    Ok(vec![cut(height, edges.top + edges.bottom)?, cut(width, edges.left + edges.right)?, channels])
}

fn reshape(target: &[i64], input: &Shape) -> Result<Shape, String> {
    let impossible = || format!("its input has shape {}, which cannot become {target:?}", describe(input));
    let fixed = target.iter().filter(|&&size| size != -1);
    let fixed: Option<Vec<usize>> = fixed.map(|&size| usize::try_from(size).ok()).collect();
    let fixed = fixed.ok_or_else(impossible)?;
    let count = fixed.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let count = count.ok_or_else(impossible)?;
    let rest = match (target.len() - fixed.len(), product(input)?) {
        (0, Some(whole)) if whole != count => return Err(impossible()),
        (0, _) => None,
        (1, None) => None,
        (1, Some(whole)) if count != 0 && whole.is_multiple_of(count) => Some(whole / count),
        (_, _) => return Err(impossible()),
    };
    Ok(target.iter().map(|&size| usize::try_from(size).ok().or(rest)).collect())
}

/// Checks that an array broadcasts against the input without changing the input's shape.
fn broadcast_into(array: &[usize], input: &Shape) -> Result<Shape, String> {
    let fits = array.len() <= input.len()
        && array
            .iter()
            .rev()
            .zip(input.iter().rev())
            .all(|(&size, &of)| size == 1 || of.is_none_or(|of| of == size));
    if fits {
        return Ok(input.clone());
    }
    Err(format!("its input has shape {}, which its values of shape {array:?} do not fit", describe(input)))
}

fn image(input: &Shape) -> Result<[Option<usize>; 3], String> {
    <[Option<usize>; 3]>::try_from(input.as_slice())
        .map_err(|_| format!("its input has shape {}, expected [height, width, channels]", describe(input)))
}

fn wrong_channels(input: &Shape, expected: usize) -> String {
    format!("its input has shape {}, expected {expected} on the last axis", describe(input))
}

fn times(size: Option<usize>, factor: usize) -> Result<Option<usize>, String> {
    let too_large = || "its output is too large to be computed".to_owned();
    size.map(|size| size.checked_mul(factor).ok_or_else(too_large)).transpose()
}

/// Refuses an output too large for memory, before it is computed.
fn bounded(shape: Shape) -> Result<Shape, String> {
    const MAX_ELEMENTS: usize = 1 << 31;
    let known = shape.iter().flatten().try_fold(1_usize, |product, &size| product.checked_mul(size));
    match known.filter(|elements| *elements <= MAX_ELEMENTS) {
        Some(_) => Ok(shape),
        None => Err(format!("its output has shape {}, which is too large to be computed", describe(&shape))),
    }
}

fn product(shape: &Shape) -> Result<Option<usize>, String> {
    shape.iter().try_fold(Some(1), |product, &size| match product.zip(size) {
        Some((product, size)) => times(Some(product), size),
        None => Ok(None),
    })
}

/// A window that moves along one axis.
struct Window {
    size: usize,
    stride: usize,
    dilation: usize,
    padding: Padding,
}

impl Window {
    fn output_size(&self, length: Option<usize>) -> Result<Option<usize>, String> {
        let Some(length) = length else { return Ok(None) };
        let reach = self.size.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1);
        match self.padding {
            Padding::Same => Ok(Some(length.div_ceil(self.stride))),
            Padding::Valid if reach > length => {
                Err(format!("its window of {reach} does not fit its input of {length} pixels"))
            }
            Padding::Valid => Ok(Some((length - reach) / self.stride + 1)),
        }
    }
}
