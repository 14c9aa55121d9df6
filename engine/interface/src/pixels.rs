//! The values of images on their way to a model.

use std::borrow::Cow;
use std::ops::Range;

/// Values of images in the form in which they take least room: most images are 8-bit levels until the model gets
/// them, a quarter of the bytes of its numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// As the model takes them.
    Values(Vec<f32>),
    /// The model takes each level divided by a factor.
    Levels {
        /// From 0 to 255.
        levels: Vec<u8>,
        /// What each is divided by, in 32-bit floats.
        factor: f32,
    },
}

impl Pixels {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Levels { levels, .. } => levels.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values as the model takes them.
    #[must_use]
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Values(values) => Cow::Borrowed(values),
            Self::Levels { levels, .. } => {
                let mut values = vec![0.0; levels.len()];
                self.write(0..levels.len(), &mut values);
                Cow::Owned(values)
            }
        }
    }

    /// Writes some of the values as the model takes them.
    ///
    /// # Panics
    /// The range goes beyond the end, or `out` has another length.
    pub fn write(&self, range: Range<usize>, out: &mut [f32]) {
        assert_eq!(range.len(), out.len(), "there is a place for each value");
        match self {
            Self::Values(values) => out.copy_from_slice(&values[range]),
            Self::Levels { levels, factor } => {
                let quotients = Self::quotients(*factor);
                for (value, level) in out.iter_mut().zip(&levels[range]) {
                    *value = quotients[usize::from(*level)];
                }
            }
        }
    }

    /// Each level by the factor: a table, so that none is divided twice.
    #[must_use]
    pub fn quotients(factor: f32) -> [f32; 256] {
        let mut level = 0.0;
        [(); 256].map(|()| {
            let quotient = level / factor;
            level += 1.0;
            quotient
        })
    }

    /// Some of them, in the same form.
    ///
    /// # Panics
    /// The range goes beyond the end.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Values(values) => Self::Values(values[range].to_vec()),
            Self::Levels { levels, factor } => {
                Self::Levels { levels: levels[range].to_vec(), factor: *factor }
            }
        }
    }

    /// Makes room for more.
    pub fn reserve_exact(&mut self, more: usize) {
        match self {
            Self::Values(values) => values.reserve_exact(more),
            Self::Levels { levels, .. } => levels.reserve_exact(more),
        }
    }

    /// Adds others behind these, in this form where theirs is the same.
    pub fn extend(&mut self, others: &Self) {
        match (&mut *self, others) {
            (Self::Levels { levels, factor }, Self::Levels { levels: more, factor: theirs })
                if factor.to_bits() == theirs.to_bits() =>
            {
                levels.extend_from_slice(more);
            }
            (Self::Values(values), more) => values.extend_from_slice(&more.values()),
            (Self::Levels { .. }, more) => {
                let values = [self.values(), more.values()].concat();
                *self = Self::Values(values);
            }
        }
    }
}

impl From<Vec<f32>> for Pixels {
    fn from(values: Vec<f32>) -> Self {
        Self::Values(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(levels: &[u8], factor: f32) -> Pixels {
        Pixels::Levels { levels: levels.to_vec(), factor }
    }

    #[test]
    fn levels_are_divided_when_the_model_takes_them() {
        let pixels = levels(&[0, 51, 255], 255.0);
        assert_eq!(*pixels.values(), [0.0, 51.0_f32 / 255.0, 1.0]);
        let mut last = [0.0; 2];
        pixels.write(1..3, &mut last);
        assert_eq!(last, [51.0_f32 / 255.0, 1.0]);
        assert_eq!(pixels.part(1..2), levels(&[51], 255.0));
    }

    #[test]
    fn what_is_of_one_form_keeps_it_and_what_is_not_becomes_values() {
        let mut pixels = levels(&[1], 2.0);
        pixels.extend(&levels(&[3], 2.0));
        assert_eq!(pixels, levels(&[1, 3], 2.0));
        pixels.extend(&levels(&[3], 4.0));
        assert_eq!(pixels, Pixels::Values(vec![0.5, 1.5, 0.75]));
        pixels.extend(&levels(&[8], 2.0));
        pixels.extend(&Pixels::Values(vec![7.0]));
        assert_eq!(pixels, Pixels::Values(vec![0.5, 1.5, 0.75, 4.0, 7.0]));
    }
}
