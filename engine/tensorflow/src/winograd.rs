//! Winograd's minimal filtering: computes 3×3 convolutions with fewer multiplications.
//!
//! An image is split into tiles. A transform evaluates the polynomials of a tile and of the kernel at some points. The
//! convolution is then one multiplication per point, and a second transform gives the outputs. With `m` outputs along an
//! edge that takes `(m + 2)²` multiplications in place of `9 m²`. After S. Winograd, "Arithmetic Complexity of
//! Computations" (1980), and A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), who
//! apply it over both axes and all channels.

use std::sync::Arc;

use model::Tensor;

/// Height and width of the kernels.
pub(super) const KERNEL: usize = 3;

/// When convolutions are computed in tiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Winograd {
    /// Never.
    Never,
    /// Wherever it is possible.
    Always(Tile),
    /// Where it was measured to be quicker on this machine, for images and a kernel of these sizes.
    #[default]
    WhereQuicker,
}

/// The outputs that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// 2×2, with 4 of 9 multiplications. As exact as the convolution itself.
    Two,
    /// 4×4, with 1 of 4 multiplications. Loses two bits of the 24 that float32 has.
    Four,
}

/// The three transforms, each a matrix of rows.
struct Bases {
    /// From a tile's inputs to the points, `[taps, taps]`.
    input: Vec<Vec<f64>>,
    /// From the kernel to the points, `[taps, 3]`.
    kernel: Vec<Vec<f64>>,
    /// From the points to the outputs, `[edge, taps]`.
    output: Vec<Vec<f64>>,
}

impl Tile {
    /// Outputs along an edge.
    pub(super) fn edge(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs along an edge, and points.
    pub(super) fn taps(self) -> usize {
        self.edge() + KERNEL - 1
    }

    /// The points at which the polynomials are evaluated, besides infinity. The four around zero gave the smallest error of
    /// those that were tried. With 1, -1, 2 and -2 it is three times as large.
    fn points(self) -> &'static [f64] {
        match self {
            Self::Two => &[0.0, 1.0, -1.0],
            Self::Four => &[0.0, 0.75, -0.75, 1.5, -1.5],
        }
    }

    /// The transforms after A. Toom and S. Cook: an output is a sum over the points of the product of the two polynomials.
    fn bases(self) -> Bases {
        let (points, edge, taps) = (self.points(), self.edge(), self.taps());
        let others = |own: usize| points.iter().enumerate().filter(move |(index, _)| *index != own);
        let powers = |point: f64, count: usize| (0..count).map(|power| point.powi(power as i32)).collect();
        let mut kernel: Vec<Vec<f64>> = Vec::with_capacity(taps);
        let mut input = Vec::with_capacity(taps);
        for (own, point) in points.iter().enumerate() {
            let scale: f64 = others(own).map(|(_, other)| point - other).product();
            let row: Vec<f64> = powers(*point, KERNEL);
            kernel.push(row.into_iter().map(|power| power / scale).collect());
            input.push(polynomial(others(own).map(|(_, other)| *other), taps));
        }
        // At infinity a polynomial is its highest coefficient.
        kernel.push(vec![0.0, 0.0, 1.0]);
        input.push(polynomial(points.iter().copied(), taps));
        let of_points: Vec<Vec<f64>> = points.iter().map(|point| powers(*point, edge)).collect();
        let output = |row: usize| {
            let infinity = if row + 1 == edge { 1.0 } else { 0.0 };
            of_points.iter().map(|powers| powers[row]).chain([infinity]).collect()
        };
        Bases { input, kernel, output: (0..edge).map(output).collect() }
    }

    /// The transform of a tile's inputs, in this order of rows and columns, to its points, `[taps², taps²]`.
    pub(super) fn points_of_inputs(self, order: &[(usize, usize)]) -> Vec<f32> {
        let Bases { input, .. } = self.bases();
        let rows = over_both_axes(&input, &input);
        rows.flat_map(|(vertical, horizontal)| {
            order.iter().map(move |(row, column)| (vertical[*row] * horizontal[*column]) as f32)
        })
        .collect()
    }

    /// The transform of a tile's points to its outputs, row after row, `[edge², taps²]`.
    pub(super) fn outputs_of_points(self) -> Vec<f32> {
        let Bases { output, .. } = self.bases();
        let rows = over_both_axes(&output, &output);
        rows.flat_map(|(vertical, horizontal)| {
            vertical.iter().flat_map(move |down| horizontal.iter().map(move |across| (down * across) as f32))
        })
        .collect()
    }

    /// Transforms a kernel `[3, 3, channels in, channels out]` to `[taps², channels in, channels out]`. Computes in double
    /// precision and rounds once.
    pub(super) fn points_of_kernel(self, kernel: &Tensor) -> Tensor {
        let Bases { kernel: basis, .. } = self.bases();
        let size: usize = kernel.shape[2..].iter().product();
        let mut values = Vec::with_capacity(self.taps().pow(2) * size);
        let mut point = vec![0.0; size];
        for (vertical, horizontal) in over_both_axes(&basis, &basis) {
            point.fill(0.0);
            let weights = vertical.iter().flat_map(|down| horizontal.iter().map(move |across| down * across));
            for (weight, part) in weights.zip(kernel.values.chunks(size)).filter(|(weight, _)| *weight != 0.0)
            {
                point.iter_mut().zip(part).for_each(|(sum, value)| *sum += weight * f64::from(*value));
            }
            values.extend(point.iter().map(|sum| *sum as f32));
        }
        let shape = [&[self.taps().pow(2)], &kernel.shape[2..]].concat();
        Tensor { shape, values: Arc::from(values) }
    }
}

/// Each row of the first with each of the second.
fn over_both_axes<'a>(
    vertical: &'a [Vec<f64>],
    horizontal: &'a [Vec<f64>],
) -> impl Iterator<Item = (&'a Vec<f64>, &'a Vec<f64>)> {
    vertical.iter().flat_map(move |down| horizontal.iter().map(move |across| (down, across)))
}

/// The coefficients of the polynomial with these roots, the lowest first, filled up with zeros.
fn polynomial(roots: impl Iterator<Item = f64>, length: usize) -> Vec<f64> {
    let mut coefficients = vec![0.0; length];
    coefficients[0] = 1.0;
    for root in roots {
        // Times x - root.
        for power in (0..length).rev() {
            let lower = if power == 0 { 0.0 } else { coefficients[power - 1] };
            coefficients[power] = lower - root * coefficients[power];
        }
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrices for 2×2 in the second paper named above, section 4.1; signs may go to and fro between the rows
    /// of the first and the second.
    #[test]
    fn the_bases_of_two_outputs_are_those_of_the_paper() {
        let Bases { input, kernel, output } = Tile::Two.bases();
        assert_eq!(
            input,
            [[-1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, -1.0, 1.0, 0.0], [0.0, -1.0, 0.0, 1.0]]
        );
        assert_eq!(kernel, [[-1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]);
        assert_eq!(output, [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 1.0]]);
    }

    #[test]
    fn a_tile_gives_the_sums_of_products_that_a_convolution_is() {
        for (tile, bound) in [(Tile::Two, 1e-6), (Tile::Four, 1e-5)] {
            let (edge, taps) = (tile.edge(), tile.taps());
            let value = |index: usize| ((index * 37 + 11) % 23) as f32 / 11.0 - 1.0;
            let input: Vec<f32> = (0..taps * taps).map(value).collect();
            let kernel = Tensor { shape: vec![3, 3, 1, 1], values: (50..59).map(value).collect() };
            let order: Vec<(usize, usize)> =
                (0..taps * taps).map(|index| (index / taps, index % taps)).collect();
            let times = |matrix: &[f32], vector: &[f32]| -> Vec<f32> {
                let rows = matrix.chunks(vector.len());
                rows.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
            };
            let points = times(&tile.points_of_inputs(&order), &input);
            let products: Vec<f32> =
                points.iter().zip(&*tile.points_of_kernel(&kernel).values).map(|(a, b)| a * b).collect();
            let outputs = times(&tile.outputs_of_points(), &products);
            for (index, output) in outputs.iter().enumerate() {
                let (row, column) = (index / edge, index % edge);
                let expected: f32 = (0..9)
                    .map(|tap| kernel.values[tap] * input[(row + tap / 3) * taps + column + tap % 3])
                    .sum();
                assert!((output - expected).abs() < bound, "{tile:?} at {index}: {output}, {expected}");
            }
        }
    }
}
