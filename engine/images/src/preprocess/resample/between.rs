//! `cv2.resize` of 8-bit images between the two nearest pixels of each axis: `INTER_LINEAR`, and `INTER_AREA` if a side
//! grows. In fixed-point numbers, whose last bits OpenCV truncates.
//!
//! Source: OpenCV's `resize.cpp`, `HResizeLinear` and `VResizeLinearVec_32s8u`.

use super::super::samples::Samples;
use super::TargetAxis;

/// Which two pixels are used, and how they are blended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blend {
    /// By the distance of their centres.
    Centres,
    /// Only where a result pixel covers two source pixels.
    Covered,
}

/// Two source pixels and their weights, in 1/2048.
struct Pair {
    pixels: [usize; 2],
    weights: [i32; 2],
}

/// One, as a weight.
const ONE: f32 = 2048.0;

/// Resizes samples to `height` times `width`, and returns the requested parts.
pub(super) fn between(source: &Samples, height: &TargetAxis, width: &TargetAxis, blend: Blend) -> Vec<f32> {
    let columns = width.part.clone().map(|index| column(index, source.width, width.size, blend));
    let columns: Vec<Pair> = columns.collect();
    let mut values = Vec::with_capacity(height.part.len() * width.part.len() * source.channels);
    let [mut above, mut below] = [Line::default(), Line::default()];
    for index in height.part.clone() {
        let Pair { pixels, weights } = row(index, source.height, height.size, blend);
        if below.row == Some(pixels[0]) {
            std::mem::swap(&mut above, &mut below);
        }
        above.become_row(pixels[0], source, &columns);
        below.become_row(pixels[1], source, &columns);
        // 4 of the 22 fractional bits are dropped before the product and 16 after it, so that 16-bit lanes hold them.
        let part = |sum: i32, weight: i32| (weight * (sum >> 4)) >> 16;
        let pairs = above.sums.iter().zip(&below.sums);
        values.extend(pairs.map(|(upper, lower)| {
            let blended = (part(*upper, weights[0]) + part(*lower, weights[1]) + 2) >> 2;
            f32::from(u8::try_from(blended).unwrap_or(u8::MAX))
        }));
    }
    values
}

/// A row of the source in the result's width, with 11 fractional bits.
#[derive(Default)]
struct Line {
    row: Option<usize>,
    sums: Vec<i32>,
}

impl Line {
    fn become_row(&mut self, row: usize, source: &Samples, columns: &[Pair]) {
        if self.row == Some(row) {
            return;
        }
        let (channels, stride) = (source.channels, source.width * source.channels);
        let samples = &source.values[row * stride..(row + 1) * stride];
        self.row = Some(row);
        self.sums.clear();
        for Pair { pixels: [left, right], weights } in columns {
            let pixel = |at: usize| samples[at * channels..(at + 1) * channels].iter().copied();
            let pairs = pixel(*left).zip(pixel(*right));
            self.sums.extend(pairs.map(|(a, b)| i32::from(a) * weights[0] + i32::from(b) * weights[1]));
        }
    }
}

/// Beyond the edge the edge pixel counts, alone.
fn column(index: usize, from: usize, to: usize, blend: Blend) -> Pair {
    let (before, share) = position(index, from, to, blend);
    let last = from as f64 - 1.0;
    if before < 0.0 || before >= last {
        let pixel = whole(before.clamp(0.0, last));
        return Pair { pixels: [pixel; 2], weights: weights(0.0) };
    }
    Pair { pixels: [whole(before), whole(before) + 1], weights: weights(share) }
}

/// Beyond the edge the edge row counts twice, and is truncated twice.
fn row(index: usize, from: usize, to: usize, blend: Blend) -> Pair {
    let (before, share) = position(index, from, to, blend);
    let last = from as f64 - 1.0;
    Pair { pixels: [before, before + 1.0].map(|row| whole(row.clamp(0.0, last))), weights: weights(share) }
}

/// The pixel before the position, perhaps -1, and the weight of the one after it.
#[expect(clippy::cast_possible_truncation, reason = "as OpenCV does")]
fn position(index: usize, from: usize, to: usize, blend: Blend) -> (f64, f32) {
    let inverse = to as f64 / from as f64;
    let scale = 1.0 / inverse;
    let index = index as f64;
    match blend {
        Blend::Centres => {
            let position = ((index + 0.5) * scale - 0.5) as f32;
            (f64::from(position.floor()), position - position.floor())
        }
        Blend::Covered => {
            let before = (index * scale).floor();
            // In float32, where almost an integer is an integer.
            let share = ((index + 1.0) - (before + 1.0) * inverse) as f32;
            (before, if share <= 0.0 { 0.0 } else { share - share.floor() })
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "shares are from 0 to 1")]
fn weights(share: f32) -> [i32; 2] {
    [1.0 - share, share].map(|share| (share * ONE).round_ties_even() as i32)
}

/// Truncates a number that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the callers see to it")]
fn whole(number: f64) -> usize {
    number as usize
}
