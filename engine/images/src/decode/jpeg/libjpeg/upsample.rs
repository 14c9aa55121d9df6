//! Upsamples the rows of a component as libjpeg's `jdsample.c` does: interpolated if a component has half the columns
//! or half the rows or both, repeated otherwise.

use super::super::super::DecodeError;

/// A component's samples.
pub(super) struct Plane {
    /// Rows of `stride` samples.
    pub(super) samples: Vec<u8>,
    pub(super) stride: usize,
    /// Without the padding of the last blocks.
    pub(super) height: usize,
    /// Without the padding of the last blocks.
    pub(super) width: usize,
}

/// How a component's rows become the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upsampling {
    Copied,
    /// Interpolates columns: three quarters of the nearer one and a quarter of the other.
    Columns,
    /// Interpolates rows in the same way.
    Rows,
    /// Interpolates both.
    Both,
    Repeated {
        rows: usize,
        columns: usize,
    },
}

impl Upsampling {
    /// Repeats samples: the image has this many times the rows and columns.
    pub(super) fn of(
        (most_rows, rows): (usize, usize),
        (most_columns, columns): (usize, usize),
        plane_width: usize,
    ) -> Result<Self, DecodeError> {
        if !most_rows.is_multiple_of(rows) || !most_columns.is_multiple_of(columns) {
            return Err(DecodeError::undecodable("unsupported variant (fractional sampling factors)"));
        }
        let is_wide = plane_width > 2;
        Ok(match (most_rows / rows, most_columns / columns) {
            (1, 1) => Self::Copied,
            (1, 2) if is_wide => Self::Columns,
            (2, 1) => Self::Rows,
            (2, 2) if is_wide => Self::Both,
            (rows, columns) => Self::Repeated { rows, columns },
        })
    }

    /// Writes the image's row `y`; `sums` is scratch space for a row.
    pub(super) fn row(self, plane: &Plane, y: usize, sums: &mut Vec<u16>, out: &mut [u8]) {
        let input = |row: usize| &plane.samples[row * plane.stride..][..plane.width];
        // The row of the component that covers this one, and the neighbouring row on the same side.
        let near = (y / 2).min(plane.height - 1);
        let next =
            if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(plane.height - 1) };
        match self {
            Self::Copied => out.copy_from_slice(&input(y)[..out.len()]),
            Self::Repeated { rows, columns } => {
                let row = input((y / rows).min(plane.height - 1));
                for (pixels, value) in out.chunks_mut(columns).zip(row) {
                    pixels.fill(*value);
                }
            }
            Self::Columns => {
                sums.clear();
                sums.extend(input(y).iter().map(|value| u16::from(*value)));
                between(sums, out, (1, 2, 2));
            }
            Self::Rows => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((sample, near), next) in out.iter_mut().zip(input(near)).zip(input(next)) {
                    *sample = byte((u16::from(*near) * 3 + u16::from(*next) + bias) >> 2);
                }
            }
            Self::Both => {
                sums.clear();
                let rows = input(near).iter().zip(input(next));
                sums.extend(rows.map(|(near, next)| u16::from(*near) * 3 + u16::from(*next)));
                between(sums, out, (8, 7, 4));
            }
        }
    }
}

/// Each sum gives two columns of the image. The rounding bias differs between the left and the right one, so that
/// errors cancel out.
fn between(sums: &[u16], out: &mut [u8], (left, right, shift): (u16, u16, u32)) {
    let last = sums.len() - 1;
    for (at, pixels) in out.chunks_mut(2).enumerate() {
        let own = sums[at] * 3;
        let before = if at == 0 { sums[0] } else { sums[at - 1] };
        let after = if at == last { sums[last] } else { sums[at + 1] };
        pixels[0] = byte((own + before + left) >> shift);
        if let Some(pixel) = pixels.get_mut(1) {
            *pixel = byte((own + after + right) >> shift);
        }
    }
}

fn byte(value: u16) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
