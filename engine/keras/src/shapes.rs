//! Sizes of values, and axes as Keras counts them.

/// Sizes after the batch, `None` for an unknown size.
pub(super) type Sizes = Vec<Option<usize>>;

/// The sizes after the batch of a value's shape.
pub(super) fn after_batch(shape: &model::Shape) -> Sizes {
    shape.iter().skip(1).map(|size| size.known()).collect()
}

/// Formats a shape for errors: `[224, 224, 3]`, with `?` for an unknown size.
pub(super) fn describe(shape: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        shape.iter().map(|size| size.map_or_else(|| "?".to_owned(), |size| size.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// Converts Keras's `axis`, which counts the batch and may be negative, to an axis counted from 0 after the batch.
pub(super) fn axis_after_batch(axis: i64, input: &Sizes) -> Result<usize, String> {
    let rank = i64::try_from(input.len()).unwrap_or(i64::MAX);
    let found = if axis < 0 { axis + rank } else { axis - 1 };
    usize::try_from(found).ok().filter(|&found| found < input.len()).ok_or_else(|| {
        format!("`axis` is {axis}, expected an axis of its input, {} after the batch", describe(input))
    })
}

/// Converts Keras's `axis` with several axes like [`axis_after_batch`], ascending.
pub(super) fn axes_after_batch(axes: &[i64], input: &Sizes) -> Result<Vec<usize>, String> {
    let found: Result<Vec<usize>, String> = axes.iter().map(|&axis| axis_after_batch(axis, input)).collect();
    let mut found = found?;
    found.sort_unstable();
    if found.is_empty() || !found.is_sorted_by(|one, next| one < next) {
        return Err(format!("`axis` is {axes:?}, expected axes of its input, each once"));
    }
    Ok(found)
}
