//! Differences between lists of numbers.

/// Returns the largest difference of two lists. NaN counts as infinite.
///
/// # Panics
/// The lists have different lengths.
#[must_use]
pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len(), "both lists have to be equally long");
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, |worst: f32, difference| {
        if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
    })
}

/// Returns the largest absolute value.
#[must_use]
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, value| most.max(value.abs()))
}
