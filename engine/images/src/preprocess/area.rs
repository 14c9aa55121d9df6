//! Scaling down by area, equal to OpenCV's `resize(…, interpolation=INTER_AREA)` on 8-bit images.
//!
//! Every pixel is the mean of the source area that it covers. OpenCV computes it in integers if both ratios are
//! integers (`ResizeAreaFast`), and otherwise in float32, rows first, with the weights of `computeResizeAreaTab`. The
//! order of the additions is kept, since it decides ties.

use super::samples::Samples;

/// A prepared resize from `source` to a size that is not larger in either axis.
pub(super) struct AreaResize<'a> {
    source: &'a Samples,
    columns: Axis,
    rows: Axis,
}

impl<'a> AreaResize<'a> {
    /// `height` and `width` are from 1 to the source's.
    pub(super) fn new(source: &'a Samples, height: usize, width: usize) -> Self {
        Self { source, columns: Axis::new(source.width, width), rows: Axis::new(source.height, height) }
    }

    /// Passes the result's rows to `row` from top to bottom, samples interleaved.
    pub(super) fn for_each_row(&self, write: &mut impl FnMut(&[u8])) {
        match (self.source.channels, self.rows.whole_ratio.zip(self.columns.whole_ratio)) {
            (1, Some((down, across))) => self.whole::<1>(down, across, write),
            (_, Some((down, across))) => self.whole::<3>(down, across, write),
            (1, None) => self.fractional::<1>(write),
            (_, None) => self.fractional::<3>(write),
        }
    }

    fn whole<const CHANNELS: usize>(&self, down: usize, across: usize, write: &mut impl FnMut(&[u8])) {
        let stride = self.source.width * CHANNELS;
        let mut sums = vec![[0_u32; CHANNELS]; self.columns.spans.len()];
        let mut samples = vec![0; sums.len() * CHANNELS];
        let scale = 1.0 / float(down * across);
        for band in self.source.values.chunks_exact(stride * down) {
            sums.fill([0; CHANNELS]);
            for row in band.chunks_exact(stride) {
                for (sum, cell) in sums.iter_mut().zip(row.chunks_exact(across * CHANNELS)) {
                    for pixel in cell.chunks_exact(CHANNELS) {
                        sum.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += u32::from(*sample));
                    }
                }
            }
            for (sample, sum) in samples.iter_mut().zip(sums.iter().flatten()) {
                *sample = if (down, across) == (2, 2) {
                    // Only this ratio rounds halves up.
                    u8::try_from((sum + 2) >> 2).unwrap_or(u8::MAX)
                } else {
                    nearest(*sum as f32 * scale)
                };
            }
            write(&samples);
        }
    }

    fn fractional<const CHANNELS: usize>(&self, write: &mut impl FnMut(&[u8])) {
        let stride = self.source.width * CHANNELS;
        let width = self.columns.spans.len() * CHANNELS;
        let mut row_means = vec![0.0; width];
        let mut sums = vec![0.0; width];
        let mut samples = vec![0; width];
        // A source row on the border of two result rows is the last of one and the first of the next.
        let mut row_in_means = None;
        for span in &self.rows.spans {
            for (index, weight) in self.rows.weights_of(span).iter().enumerate() {
                let row = span.first + index;
                if row_in_means.replace(row) != Some(row) {
                    let pixels = &self.source.values[row * stride..(row + 1) * stride];
                    self.columns.mean_of::<CHANNELS>(pixels, &mut row_means);
                }
                if index == 0 {
                    sums.iter_mut().zip(&row_means).for_each(|(sum, mean)| *sum = weight * mean);
                } else {
                    sums.iter_mut().zip(&row_means).for_each(|(sum, mean)| *sum += weight * mean);
                }
            }
            samples.iter_mut().zip(&sums).for_each(|(sample, sum)| *sample = nearest(*sum));
            write(&samples);
        }
    }
}

/// The source pixels of each result pixel, along one axis.
struct Axis {
    /// The number of source pixels per result pixel, if that is an integer.
    whole_ratio: Option<usize>,
    spans: Vec<Span>,
    weights: Vec<f32>,
}

/// One result pixel: adjacent source pixels from `first`, with their weights.
struct Span {
    first: usize,
    weights: std::ops::Range<usize>,
}

impl Axis {
    fn new(source: usize, result: usize) -> Self {
        // Inverted twice, as in OpenCV: the last bit of the ratio decides what counts as an integer.
        let ratio = 1.0 / (result as f64 / source as f64);
        let whole = source / result;
        let whole_ratio = ((ratio - whole as f64).abs() < f64::EPSILON).then_some(whole);
        let mut axis = Self { whole_ratio, spans: Vec::with_capacity(result), weights: Vec::new() };
        for index in 0..result {
            axis.add(source, index as f64 * ratio, ratio);
        }
        axis
    }

    /// Adds a result pixel that begins at `start` and is `ratio` source pixels wide.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions are not negative, and the weights are 32-bit in OpenCV too"
    )]
    fn add(&mut self, source: usize, start: f64, ratio: f64) {
        /// A narrower sliver of a pixel is left out of the mean.
        const SLIVER: f64 = 1e-3;
        let end = start + ratio;
        let cell = ratio.min(source as f64 - start);
        let full_end = (end.floor() as usize).min(source - 1);
        let full_start = (start.ceil() as usize).min(full_end);
        let before = full_start as f64 - start;
        let after = end - full_end as f64;
        let begin = self.weights.len();
        let mut first = full_start;
        if before > SLIVER {
            first -= 1;
            self.weights.push((before / cell) as f32);
        }
        self.weights.extend((full_start..full_end).map(|_| (1.0 / cell) as f32));
        if after > SLIVER {
            self.weights.push((after.min(1.0).min(cell) / cell) as f32);
        }
        self.spans.push(Span { first, weights: begin..self.weights.len() });
    }

    fn weights_of(&self, span: &Span) -> &[f32] {
        &self.weights[span.weights.clone()]
    }

    /// Computes the weighted means along one source row.
    fn mean_of<const CHANNELS: usize>(&self, row: &[u8], means: &mut [f32]) {
        for (mean, span) in means.chunks_exact_mut(CHANNELS).zip(&self.spans) {
            let weights = self.weights_of(span);
            let pixels = &row[span.first * CHANNELS..(span.first + weights.len()) * CHANNELS];
            let mut sum = [0.0; CHANNELS];
            for (pixel, weight) in pixels.chunks_exact(CHANNELS).zip(weights) {
                sum.iter_mut().zip(pixel).for_each(|(sum, sample)| *sum += f32::from(*sample) * weight);
            }
            mean.copy_from_slice(&sum);
        }
    }
}

/// Rounds to the nearest integer, halves to even: adding this number leaves the rounded value in the lowest bits.
fn nearest(value: f32) -> u8 {
    const SHIFT: f32 = 12_582_912.0;
    let rounded = (value.clamp(0.0, 255.0) + SHIFT).to_bits() & 0xff;
    u8::try_from(rounded).unwrap_or(u8::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "areas beyond 2^24 pixels round as they do in OpenCV")]
fn float(area: usize) -> f32 {
    area as f32
}
