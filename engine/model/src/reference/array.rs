//! Arrays of numbers in double precision.

/// A dense array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes; empty for a single number. The batch is one of them.
    pub shape: Vec<usize>,
    /// Row-major; as many as the product of `shape`.
    pub values: Vec<f64>,
}

impl Array {
    /// An array of this shape, each element computed from its index.
    #[must_use]
    pub fn from_fn(shape: &[usize], mut element: impl FnMut(&[usize]) -> f64) -> Self {
        let mut values = Vec::with_capacity(shape.iter().product());
        each(shape, |index| values.push(element(index)));
        Self { shape: shape.to_vec(), values }
    }

    /// Each element mapped by a function.
    #[must_use]
    pub fn map(&self, function: impl FnMut(f64) -> f64) -> Self {
        Self { shape: self.shape.clone(), values: self.values.iter().copied().map(function).collect() }
    }

    /// The element at an index of as many axes as the array has.
    ///
    /// # Panics
    /// The index is outside.
    #[must_use]
    pub fn at(&self, index: &[usize]) -> f64 {
        self.values[self.offset(index)]
    }

    pub(super) fn offset(&self, index: &[usize]) -> usize {
        index.iter().zip(&self.shape).fold(0, |offset, (index, size)| offset * size + index)
    }

    /// The element at an index of the shape that this array is broadcast to.
    pub(super) fn broadcast_at(&self, index: &[usize]) -> f64 {
        let own = &index[index.len() - self.shape.len()..];
        let sizes = own.iter().zip(&self.shape);
        let offset =
            sizes.fold(0, |offset, (index, size)| offset * size + if *size == 1 { 0 } else { *index });
        self.values[offset]
    }
}

/// Calls a function with each index of a shape, row-major. The index of a single number is empty.
pub(super) fn each(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        visit(&index);
        // The last axis that can go on does; those after it begin again.
        let Some(axis) = (0..shape.len()).rev().find(|axis| index[*axis] + 1 < shape[*axis]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}
