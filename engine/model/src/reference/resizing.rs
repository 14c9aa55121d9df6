//! Resizing: each axis by itself, as a weighted sum of pixels.

use super::array::Array;
use crate::op::{Interpolation, Resize};

/// Images of the size in `shape`: columns first, then rows.
pub(super) fn resize(by: &Resize, x: &Array, shape: &[usize]) -> Array {
    let [batch, height, width, channels] = [0, 1, 2, 3].map(|axis| x.shape[axis]);
    let [rows, columns] = [(height, shape[1]), (width, shape[2])].map(|(from, to)| weights(by, from, to));
    let wide = Array::from_fn(&[batch, height, shape[2], channels], |index| {
        columns[index[2]].sum(|column| x.at(&[index[0], index[1], column, index[3]]))
    });
    Array::from_fn(shape, |index| rows[index[1]].sum(|row| wide.at(&[index[0], row, index[2], index[3]])))
}

/// What a pixel of the output is made of, along one axis.
struct Weights {
    /// The first pixel.
    start: usize,
    /// The weights of it and those after it.
    weights: Vec<f64>,
}

impl Weights {
    fn sum(&self, pixel: impl Fn(usize) -> f64) -> f64 {
        self.weights.iter().enumerate().map(|(index, weight)| weight * pixel(self.start + index)).sum()
    }
}

/// For each of the `to` output pixels of an axis: the weights of the `from` input pixels.
fn weights(by: &Resize, from: usize, to: usize) -> Vec<Weights> {
    (0..to).map(|pixel| of_pixel(by, pixel, from, to)).collect()
}

fn of_pixel(by: &Resize, pixel: usize, from: usize, to: usize) -> Weights {
    let scale = from as f64 / to as f64;
    let kernel: (fn(f64) -> f64, f64) = match by.interpolation {
        // `floor((pixel + 0.5) * from / to)` in whole numbers.
        Interpolation::Nearest => {
            return Weights { start: (2 * pixel + 1) * from / (2 * to), weights: vec![1.0] };
        }
        Interpolation::Area => return area(pixel, from, to),
        Interpolation::Bilinear => (triangle, 1.0),
        Interpolation::Bicubic => (keys, 2.0),
        Interpolation::MitchellCubic => (mitchell, 2.0),
        Interpolation::Lanczos3 => (|x| lanczos(x, 3.0), 3.0),
        Interpolation::Lanczos5 => (|x| lanczos(x, 5.0), 5.0),
        Interpolation::Gaussian => (gaussian, 1.5),
    };
    let (function, radius) = kernel;
    let grown = if by.antialias { scale.max(1.0) } else { 1.0 };
    // Pixels have their centres at halves.
    let centre = (pixel as f64 + 0.5) * scale;
    let start = (centre - radius * grown - 0.5).ceil().max(0.0);
    let end = (centre + radius * grown - 0.5).floor().min(from as f64 - 1.0);
    let count = (end - start + 1.0) as usize;
    let weights = (0..count).map(|index| function(((start + index as f64 + 0.5 - centre) / grown).abs()));
    scaled_to_one(start as usize, weights.collect())
}

/// The weights are those of all pixels of which a part is covered, by how much.
fn area(pixel: usize, from: usize, to: usize) -> Weights {
    // In parts of a pixel, of which each pixel of the input has `to` and each of the output `from`.
    let (start, end) = (pixel * from, (pixel + 1) * from);
    let pixels = start / to..end.div_ceil(to);
    let covered = pixels.clone().map(|pixel| (end.min((pixel + 1) * to) - start.max(pixel * to)) as f64);
    scaled_to_one(pixels.start, covered.collect())
}

fn scaled_to_one(start: usize, weights: Vec<f64>) -> Weights {
    let sum: f64 = weights.iter().sum();
    Weights { start, weights: weights.into_iter().map(|weight| weight / sum).collect() }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x).max(0.0)
}

/// Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", with a = -0.5.
fn keys(x: f64) -> f64 {
    if x >= 2.0 {
        0.0
    } else if x >= 1.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        (1.5 * x - 2.5) * x * x + 1.0
    }
}

/// Mitchell and Netravali 1988, "Reconstruction Filters in Computer Graphics", with B = C = 1/3.
fn mitchell(x: f64) -> f64 {
    if x >= 2.0 {
        0.0
    } else if x >= 1.0 {
        ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0
    } else {
        (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0
    }
}

/// `sinc(x) * sinc(x / radius)`.
fn lanczos(x: f64, radius: f64) -> f64 {
    let sinc = |x: f64| {
        let angle = std::f64::consts::PI * x;
        if angle == 0.0 { 1.0 } else { angle.sin() / angle }
    };
    if x >= radius { 0.0 } else { sinc(x) * sinc(x / radius) }
}

/// With a standard deviation of half a pixel, cut off at three of them.
fn gaussian(x: f64) -> f64 {
    if x >= 1.5 { 0.0 } else { (-2.0 * x * x).exp() }
}
