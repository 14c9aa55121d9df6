//! The source pixels and weights of each result pixel along one axis.
//!
//! Sources: TensorFlow's kernels `resize_bilinear_op.cc`, `resize_bicubic_op.cc`, `resize_area_op.cc` and
//! `scale_and_translate_op.cc`; Pillow's `Resample.c` and `Geometry.c`; OpenCV's `resize.cpp`.

use std::ops::Range;

/// One axis of a resampling.
pub(super) struct Axis {
    /// Result pixels of the whole axis; `spans` has the requested ones.
    to: usize,
    spans: Vec<(usize, Range<usize>)>,
    /// For sums in float32.
    weights: Vec<f32>,
    /// For sums in fixed-point numbers, which are rounded from these.
    exact: Vec<f64>,
}

/// The size of an axis after resampling, and the part of it that is requested. The rest costs nothing: an image of one
/// pixel by 30,000 becomes millions wide before its centre is cropped. Pillow may resample a span of the source alone.
#[derive(Debug, Clone)]
pub(in crate::preprocess) struct TargetAxis {
    pub(in crate::preprocess) size: usize,
    pub(in crate::preprocess) part: Range<usize>,
    /// Start and length, which may lie between pixels; without it the whole source.
    pub(in crate::preprocess) span: Option<SourceSpan>,
}

/// A part of the source along one axis, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::preprocess) struct SourceSpan {
    pub(in crate::preprocess) start: f64,
    pub(in crate::preprocess) length: f64,
}

impl TargetAxis {
    pub(in crate::preprocess) fn whole(size: usize) -> Self {
        Self { size, part: 0..size, span: None }
    }

    /// Resamples this span of the source instead of the whole.
    pub(in crate::preprocess) fn of(&self, span: SourceSpan) -> Self {
        Self { span: Some(span), ..self.clone() }
    }

    /// Returns the part of a source of `from` pixels that is resampled.
    fn source(&self, from: usize) -> SourceSpan {
        self.span.unwrap_or(SourceSpan { start: 0.0, length: from as f64 })
    }
}

/// A filter: the weight of a pixel by its distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// Constant within half a pixel.
    Box,
    /// Linear, 0 from one pixel on.
    Triangle,
    /// Of Keys 1981, with -1/2.
    Cubic,
    /// A windowed sinc over three pixels.
    Lanczos,
}

impl Kernel {
    fn radius(self) -> f64 {
        match self {
            Self::Box => 0.5,
            Self::Triangle => 1.0,
            Self::Cubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn at(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Box => f64::from(u8::from(distance > -0.5 && distance <= 0.5)),
            Self::Triangle => (1.0 - x).max(0.0),
            Self::Cubic => cubic(x, -0.5),
            Self::Lanczos if x >= 3.0 => 0.0,
            Self::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * std::f64::consts::PI;
    angle.sin() / angle
}

/// The cubic convolution of Keys with parameter `a`, at a distance that is not negative.
fn cubic(x: f64, a: f64) -> f64 {
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

impl Axis {
    fn new(to: &TargetAxis) -> Self {
        Self { to: to.size, spans: Vec::with_capacity(to.part.len()), weights: Vec::new(), exact: Vec::new() }
    }

    /// Returns the result pixels of the whole axis, requested or not.
    pub(super) fn whole_len(&self) -> usize {
        self.to
    }

    /// Returns the source pixels of the requested result pixels.
    pub(super) fn sources(&self) -> Range<usize> {
        let first = self.firsts().min().unwrap_or(0);
        let end = self.spans().map(|(first, weights)| first + weights.len()).max();
        first..end.unwrap_or(first)
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the first source pixel of each result pixel.
    pub(super) fn firsts(&self) -> impl Iterator<Item = usize> {
        self.spans.iter().map(|(first, _)| *first)
    }

    /// Returns the first source pixel of each result pixel, and the weights from there on.
    pub(super) fn spans(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.spans.iter().map(|(first, range)| (*first, &self.weights[range.clone()]))
    }

    /// As [`Self::spans`], with weights in float64.
    pub(super) fn exact_spans(&self) -> impl Iterator<Item = (usize, &[f64])> {
        self.spans.iter().map(|(first, range)| (*first, &self.exact[range.clone()]))
    }

    #[expect(clippy::cast_possible_truncation, reason = "images are summed up in 32-bit floats")]
    fn push(&mut self, first: usize, weights: impl IntoIterator<Item = f64>) {
        let begin = self.weights.len();
        self.exact.extend(weights);
        self.weights.extend(self.exact[begin..].iter().map(|weight| *weight as f32));
        self.spans.push((first, begin..self.weights.len()));
    }

    fn pick(from: usize, to: &TargetAxis, position: impl Fn(f64) -> f64) -> Self {
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            axis.push(whole(position(index as f64)).min(from - 1), [1.0]);
        }
        axis
    }

    /// The pixel under the centre, as `tf.image.resize` finds it: in float32.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as TensorFlow does")]
    pub(super) fn nearest_half_pixel(from: usize, to: &TargetAxis) -> Self {
        let scale = from as f32 / to.size as f32;
        Self::pick(from, to, |index| f64::from((index as f32 + 0.5) * scale))
    }

    /// The pixel under the centre, as Pillow finds it: by adding steps in float64.
    pub(super) fn nearest_centre(from: usize, to: &TargetAxis) -> Self {
        let SourceSpan { start, length } = to.source(from);
        let step = length / to.size as f64;
        let mut axis = Self::new(to);
        let mut position = start + step * 0.5;
        for index in 0..to.part.end {
            if to.part.contains(&index) {
                axis.push(whole(position).min(from - 1), [1.0]);
            }
            position += step;
        }
        axis
    }

    /// The pixel under the corner, as OpenCV finds it.
    pub(super) fn nearest_corner(from: usize, to: &TargetAxis) -> Self {
        let step = 1.0 / (to.size as f64 / from as f64);
        Self::pick(from, to, |index| index * step)
    }

    /// Between the two nearest centres; edge pixels are repeated beyond the edge.
    pub(super) fn linear(from: usize, to: &TargetAxis) -> Self {
        let scale = from as f64 / to.size as f64;
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            let position = (index as f64 + 0.5) * scale - 0.5;
            let (lower, share) = (position.floor(), position - position.floor());
            if lower < 0.0 {
                axis.push(0, [1.0]);
            } else if whole(lower) + 1 >= from {
                axis.push(from - 1, [1.0]);
            } else {
                axis.push(whole(lower), [1.0 - share, share]);
            }
        }
        axis
    }

    /// `tf.image.resize(method="bicubic")`: pixels beyond the edge count nothing. Distances are rounded to 1/1024, as
    /// in TensorFlow's table.
    pub(super) fn tensorflow_cubic(from: usize, to: &TargetAxis) -> Self {
        let scale = from as f64 / to.size as f64;
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            let position = (index as f64 + 0.5) * scale - 0.5;
            let share = ((position - position.floor()) * 1024.0).round_ties_even() / 1024.0;
            let taps = [1.0 + share, share, 1.0 - share, 2.0 - share].map(|x| cubic(x, -0.5));
            axis.clipped(from, position.floor() - 1.0, &taps, Outside::Nothing);
        }
        axis
    }

    /// `cv2.resize(interpolation=cv2.INTER_CUBIC)`: edge pixels are repeated beyond the edge.
    pub(super) fn opencv_cubic(from: usize, to: &TargetAxis) -> Self {
        let scale = 1.0 / (to.size as f64 / from as f64);
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            let position = (index as f64 + 0.5) * scale - 0.5;
            let share = position - position.floor();
            let taps = [1.0 + share, share, 1.0 - share, 2.0 - share].map(|x| cubic(x, -0.75));
            axis.clipped(from, position.floor() - 1.0, &taps, Outside::Edge);
        }
        axis
    }

    /// Adds taps that begin at `first`, which may be outside.
    fn clipped(&mut self, from: usize, first: f64, taps: &[f64], outside: Outside) {
        let last = from as f64 - 1.0;
        let inside = |offset: usize| (first + offset as f64).clamp(0.0, last);
        let begin = whole(inside(0));
        let end = whole(inside(taps.len() - 1));
        let mut weights = vec![0.0; end - begin + 1];
        for (offset, tap) in taps.iter().enumerate() {
            let position = first + offset as f64;
            if outside == Outside::Edge || (0.0..=last).contains(&position) {
                weights[whole(inside(offset)) - begin] += tap;
            }
        }
        let sum: f64 = weights.iter().sum();
        self.push(begin, weights.into_iter().map(|weight| weight / sum));
    }

    /// `tf.image.resize(method="area")`: the mean of the covered pixels.
    pub(super) fn tensorflow_area(from: usize, to: &TargetAxis) -> Self {
        let scale = from as f64 / to.size as f64;
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            let (start, end) = (index as f64 * scale, (index as f64 + 1.0) * scale);
            let first = whole(start).min(from - 1);
            let last = whole(end.ceil()).clamp(first + 1, from);
            let covered = |pixel: usize| (end.min(pixel as f64 + 1.0) - start.max(pixel as f64)) / scale;
            axis.push(first, (first..last).map(covered));
        }
        axis
    }

    /// `tf.image.resize(antialias=True)`.
    pub(super) fn antialiased(from: usize, to: &TargetAxis, kernel: Kernel) -> Self {
        Self::filtered(from, to, kernel, |centre, support| {
            ((centre - support - 0.5).ceil(), (centre + support - 0.5).floor() + 1.0)
        })
    }

    /// `PIL.Image.resize`.
    pub(super) fn pillow(from: usize, to: &TargetAxis, kernel: Kernel) -> Self {
        Self::filtered(from, to, kernel, |centre, support| {
            ((centre - support + 0.5).floor(), (centre + support + 0.5).floor())
        })
    }

    /// A filter, widened if the image shrinks. `range` returns the first pixel and the one after the last.
    fn filtered(
        from: usize,
        to: &TargetAxis,
        kernel: Kernel,
        range: impl Fn(f64, f64) -> (f64, f64),
    ) -> Self {
        let SourceSpan { start, length } = to.source(from);
        let scale = length / to.size as f64;
        let widening = scale.max(1.0);
        let mut axis = Self::new(to);
        for index in to.part.clone() {
            let centre = start + (index as f64 + 0.5) * scale;
            let (first, end) = range(centre, kernel.radius() * widening);
            let first = whole(first.max(0.0)).min(from - 1);
            let end = whole(end.max(0.0)).clamp(first + 1, from);
            let weight = |pixel: usize| kernel.at((pixel as f64 + 0.5 - centre) / widening);
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            axis.push(first, weights.into_iter().map(|weight| weight / sum));
        }
        axis
    }
}

/// The pixels beyond the edge of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outside {
    Nothing,
    Edge,
}

/// Truncates a number that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the callers see to it")]
fn whole(number: f64) -> usize {
    number as usize
}
