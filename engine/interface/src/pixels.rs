//! The pixel values of a batch.

use std::borrow::Cow;
use std::ops::Range;

/// The pixel values of a batch. Most images stay uint8 until the model gets them: a quarter of the bytes of float32.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// The model's input.
    Float32(Vec<f32>),
    /// The model's input is each value divided by the divisor, in float32.
    Uint8 {
        /// Pixel values, 0 to 255.
        values: Vec<u8>,
        /// What each value is divided by.
        divisor: f32,
    },
}

impl Pixels {
    /// Returns the number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float32(values) => values.len(),
            Self::Uint8 { values, .. } => values.len(),
        }
    }

    /// Returns whether there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all values as float32, the model's input.
    #[must_use]
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Float32(values) => Cow::Borrowed(values),
            Self::Uint8 { values, .. } => {
                let mut out = vec![0.0; values.len()];
                self.write(0..values.len(), &mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Writes a range of the values as float32.
    ///
    /// # Panics
    /// The range exceeds the values, or `out` has another length than the range.
    pub fn write(&self, range: Range<usize>, out: &mut [f32]) {
        assert_eq!(range.len(), out.len(), "`out` has one element per value");
        match self {
            Self::Float32(values) => out.copy_from_slice(&values[range]),
            Self::Uint8 { values, divisor } => {
                let quotients = Self::quotients(*divisor);
                for (quotient, value) in out.iter_mut().zip(&values[range]) {
                    *quotient = quotients[usize::from(*value)];
                }
            }
        }
    }

    /// Returns a lookup table: each pixel value, 0 to 255, divided by the divisor.
    #[must_use]
    pub fn quotients(divisor: f32) -> [f32; 256] {
        let mut value = 0.0;
        [(); 256].map(|()| {
            let quotient = value / divisor;
            value += 1.0;
            quotient
        })
    }

    /// Returns a range of the values, of the same type.
    ///
    /// # Panics
    /// The range exceeds the values.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Float32(values) => Self::Float32(values[range].to_vec()),
            Self::Uint8 { values, divisor } => {
                Self::Uint8 { values: values[range].to_vec(), divisor: *divisor }
            }
        }
    }

    /// Reserves memory for `more` values.
    pub fn reserve_exact(&mut self, more: usize) {
        match self {
            Self::Float32(values) => values.reserve_exact(more),
            Self::Uint8 { values, .. } => values.reserve_exact(more),
        }
    }

    /// Appends other values. The type stays where both have the same type and divisor, and becomes float32 otherwise.
    pub fn extend(&mut self, others: &Self) {
        match (&mut *self, others) {
            (Self::Uint8 { values, divisor }, Self::Uint8 { values: more, divisor: theirs })
                if divisor.to_bits() == theirs.to_bits() =>
            {
                values.extend_from_slice(more);
            }
            (Self::Float32(values), more) => values.extend_from_slice(&more.values()),
            (Self::Uint8 { .. }, more) => {
                let values = [self.values(), more.values()].concat();
                *self = Self::Float32(values);
            }
        }
    }
}

impl From<Vec<f32>> for Pixels {
    fn from(values: Vec<f32>) -> Self {
        Self::Float32(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uint8(values: &[u8], divisor: f32) -> Pixels {
        Pixels::Uint8 { values: values.to_vec(), divisor }
    }

    #[test]
    fn uint8_values_are_divided_when_the_model_takes_them() {
        let pixels = uint8(&[0, 51, 255], 255.0);
        assert_eq!(*pixels.values(), [0.0, 51.0_f32 / 255.0, 1.0]);
        let mut last = [0.0; 2];
        pixels.write(1..3, &mut last);
        assert_eq!(last, [51.0_f32 / 255.0, 1.0]);
        assert_eq!(pixels.part(1..2), uint8(&[51], 255.0));
    }

    #[test]
    fn extending_by_another_type_or_divisor_makes_float32() {
        let mut pixels = uint8(&[1], 2.0);
        pixels.extend(&uint8(&[3], 2.0));
        assert_eq!(pixels, uint8(&[1, 3], 2.0));
        pixels.extend(&uint8(&[3], 4.0));
        assert_eq!(pixels, Pixels::Float32(vec![0.5, 1.5, 0.75]));
        pixels.extend(&uint8(&[8], 2.0));
        pixels.extend(&Pixels::Float32(vec![7.0]));
        assert_eq!(pixels, Pixels::Float32(vec![0.5, 1.5, 0.75, 4.0, 7.0]));
    }
}
