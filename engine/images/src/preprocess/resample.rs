//! Resampling along rows and columns, with the weights and the rounding of each framework.
//!
//! All methods are separable: each result pixel is a weighted sum of adjacent rows, each of which is a weighted sum of
//! adjacent pixels. They differ in the weights (`weights`), in rounding between the passes, and in the arithmetic.

use std::collections::VecDeque;

use common::package::config::{OpenCvInterpolation, PillowFilter, Resampling, TensorflowMethod};

use super::area::AreaResize;
use super::resize::Raster;
use super::samples::Samples;

mod between;
mod weights;

use self::between::{Blend, between};
use self::weights::{Axis, Kernel};
pub(super) use self::weights::{SourceSpan, TargetAxis};

/// Resizes samples to `height` times `width`, and returns the requested parts.
pub(super) fn resample(source: &Samples, height: &TargetAxis, width: &TargetAxis, how: Resampling) -> Raster {
    let sized = |values: Vec<f32>| Raster { width: width.part.len(), channels: source.channels, values };
    let both =
        |axis: &dyn Fn(usize, &TargetAxis) -> Axis| (axis(source.height, height), axis(source.width, width));
    match how {
        Resampling::Tensorflow { method, antialias } => sized(match (method, antialias) {
            (TensorflowMethod::Nearest, _) => picked(source, both(&Axis::nearest_half_pixel)),
            (TensorflowMethod::Bilinear, false) => summed(source, &both(&Axis::linear), |value| value),
            (TensorflowMethod::Bicubic, false) => {
                summed(source, &both(&Axis::tensorflow_cubic), |value| value)
            }
            (TensorflowMethod::Area, _) => summed(source, &both(&Axis::tensorflow_area), |value| value),
            (TensorflowMethod::Bilinear, true) => {
                summed(source, &both(&|from, to| Axis::antialiased(from, to, Kernel::Triangle)), |value| {
                    value
                })
            }
            (TensorflowMethod::Bicubic, true) => {
                summed(source, &both(&|from, to| Axis::antialiased(from, to, Kernel::Cubic)), |value| value)
            }
        }),
        Resampling::Pillow(filter) => {
            let kernel = match filter {
                PillowFilter::Nearest => {
                    return sized(picked(source, both(&Axis::nearest_centre)));
                }
                PillowFilter::Box => Kernel::Box,
                PillowFilter::Bilinear => Kernel::Triangle,
                PillowFilter::Bicubic => Kernel::Cubic,
                PillowFilter::Lanczos => Kernel::Lanczos,
            };
            sized(pillow_passes(source, &both(&|from, to| Axis::pillow(from, to, kernel))))
        }
        Resampling::OpenCv(interpolation) => sized(match interpolation {
            OpenCvInterpolation::Nearest => picked(source, both(&Axis::nearest_corner)),
            OpenCvInterpolation::Linear => between(source, height, width, Blend::Centres),
            OpenCvInterpolation::Cubic => summed(source, &both(&Axis::opencv_cubic), nearest_integer),
            OpenCvInterpolation::Area if height.size <= source.height && width.size <= source.width => {
                by_area(source, height, width)
            }
            // If a side grows, OpenCV interpolates.
            OpenCvInterpolation::Area => between(source, height, width, Blend::Covered),
        }),
    }
}

/// Rounds to the nearest of 0 to 255.
fn nearest_integer(value: f32) -> f32 {
    value.round_ties_even().clamp(0.0, 255.0)
}

/// Copies one source pixel to each result pixel.
fn picked(source: &Samples, (rows, columns): (Axis, Axis)) -> Vec<f32> {
    let (channels, stride) = (source.channels, source.width * source.channels);
    let mut values = Vec::with_capacity(rows.len() * columns.len() * channels);
    for row in rows.firsts() {
        let row = &source.values[row * stride..(row + 1) * stride];
        for column in columns.firsts() {
            let pixel = &row[column * channels..(column + 1) * channels];
            values.extend(pixel.iter().map(|sample| f32::from(*sample)));
        }
    }
    values
}

/// Weighted sums in float32, rounded at the end if at all.
fn summed(source: &Samples, (rows, columns): &(Axis, Axis), round: impl Fn(f32) -> f32) -> Vec<f32> {
    let (channels, stride) = (source.channels, source.width * source.channels);
    let width = columns.len() * channels;
    let mut values = Vec::with_capacity(rows.len() * width);
    // Rows that several result rows use, with their numbers.
    let mut held: VecDeque<(usize, Vec<f32>)> = VecDeque::new();
    let mut sums = vec![0.0; width];
    for (first, weights) in rows.spans() {
        while held.front().is_some_and(|(row, _)| *row < first) {
            held.pop_front();
        }
        sums.fill(0.0);
        for (row, weight) in (first..).zip(weights) {
            let index = match held.iter().position(|(number, _)| *number == row) {
                Some(index) => index,
                None => {
                    let samples = &source.values[row * stride..(row + 1) * stride];
                    held.push_back((row, along(samples, columns, channels)));
                    held.len() - 1
                }
            };
            for (sum, value) in sums.iter_mut().zip(&held[index].1) {
                *sum += weight * value;
            }
        }
        values.extend(sums.iter().map(|sum| round(*sum)));
    }
    values
}

fn along(samples: &[u8], columns: &Axis, channels: usize) -> Vec<f32> {
    let mut row = Vec::with_capacity(columns.len() * channels);
    for (first, weights) in columns.spans() {
        let pixels = &samples[first * channels..(first + weights.len()) * channels];
        let mut sum = [0.0; 3];
        for (pixel, weight) in pixels.chunks_exact(channels).zip(weights) {
            for (sum, sample) in sum.iter_mut().zip(pixel) {
                *sum += weight * f32::from(*sample);
            }
        }
        row.extend_from_slice(&sum[..channels]);
    }
    row
}

/// Pillow's two passes over 8-bit images, each rounded to integers: along the rows first, but since Pillow 13 along the
/// columns first if the image loses more than twice as many rows as columns.
fn pillow_passes(source: &Samples, (rows, columns): &(Axis, Axis)) -> Vec<f32> {
    let channels = source.channels;
    let lost_rows = source.height.saturating_sub(rows.whole_len());
    let lost_columns = source.width.saturating_sub(columns.whole_len());
    let samples = if lost_rows > 2 * lost_columns {
        let less = pillow_columns(&source.values, 0, rows, source.width * channels);
        pillow_rows(&less, columns, source.width, channels)
    } else {
        let (needed, stride) = (rows.sources(), source.width * channels);
        let samples = &source.values[needed.start * stride..needed.end * stride];
        let wide = pillow_rows(samples, columns, source.width, channels);
        pillow_columns(&wide, needed.start, rows, columns.len() * channels)
    };
    samples.into_iter().map(f32::from).collect()
}

/// Fractional bits of Pillow's fixed-point numbers.
const FRACTION: u32 = 22;

fn pillow_rows(samples: &[u8], columns: &Axis, width: usize, channels: usize) -> Vec<u8> {
    let spans = fixed_spans(columns);
    let mut result = Vec::with_capacity(samples.len() / width * columns.len());
    for row in samples.chunks_exact(width * channels) {
        for (first, weights) in &spans {
            for channel in 0..channels {
                let column = row[first * channels + channel..].iter().step_by(channels).zip(weights);
                let sum: i64 = column.map(|(sample, weight)| i64::from(*sample) * weight).sum();
                result.push(rounded_fixed_point(sum));
            }
        }
    }
    result
}

/// `samples` begin with the source's row `start`.
fn pillow_columns(samples: &[u8], start: usize, rows: &Axis, stride: usize) -> Vec<u8> {
    let mut result = Vec::with_capacity(rows.len() * stride);
    let mut sums = vec![0_i64; stride];
    for (first, weights) in fixed_spans(rows) {
        sums.fill(0);
        for (row, weight) in samples.chunks_exact(stride).skip(first - start).zip(weights) {
            for (sum, sample) in sums.iter_mut().zip(row) {
                *sum += i64::from(*sample) * weight;
            }
        }
        result.extend(sums.iter().map(|sum| rounded_fixed_point(*sum)));
    }
    result
}

fn fixed_spans(axis: &Axis) -> Vec<(usize, Vec<i64>)> {
    let fixed = |weights: &[f64]| weights.iter().map(|weight| fixed_point(*weight)).collect();
    axis.exact_spans().map(|(first, weights)| (first, fixed(weights))).collect()
}

/// Rounds to the nearest integer, halves up.
fn rounded_fixed_point(sum: i64) -> u8 {
    let rounded = (sum + (1 << (FRACTION - 1))) >> FRACTION;
    u8::try_from(rounded.clamp(0, 255)).unwrap_or(u8::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "weights are a few units at most")]
fn fixed_point(weight: f64) -> i64 {
    (weight * f64::from(1 << FRACTION)).round() as i64
}

fn by_area(source: &Samples, height: &TargetAxis, width: &TargetAxis) -> Vec<f32> {
    let channels = source.channels;
    let columns = width.part.start * channels..width.part.end * channels;
    let mut result = Vec::with_capacity(height.part.len() * columns.len());
    let mut rows = 0..height.size;
    AreaResize::new(source, height.size, width.size).for_each_row(&mut |row: &[u8]| {
        if rows.next().is_some_and(|row| height.part.contains(&row)) {
            result.extend(row[columns.clone()].iter().map(|sample| f32::from(*sample)));
        }
    });
    result
}
