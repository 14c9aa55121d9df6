//! The two inverse cosine transforms of libjpeg. The fast one is that of Arai, Agui and Nakajima in 16-bit integers, as
//! `jidctfst.c` and its SIMD variants compute it: products are truncated, and sums wrap.

mod accurate;

/// The accuracy of the transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Accuracy {
    /// libjpeg's `JDCT_IFAST`.
    Quick,
    /// Its `JDCT_ISLOW`, the default.
    Accurate,
}

/// The factors of the coefficients, in natural order.
pub(super) struct Factors(Accuracy, [i16; 64]);

/// Cosines that the transform moves to the factors: `cos(k·π/16)·√2` for k from 1 on, with 14 fractional bits, rows by
/// columns.
const SCALES: [i32; 64] = [
    16384, 22725, 21407, 19266, 16384, 12873, 8867, 4520, //
    22725, 31521, 29692, 26722, 22725, 17855, 12299, 6270, //
    21407, 29692, 27969, 25172, 21407, 16819, 11585, 5906, //
    19266, 26722, 25172, 22654, 19266, 15137, 10426, 5315, //
    16384, 22725, 21407, 19266, 16384, 12873, 8867, 4520, //
    12873, 17855, 16819, 15137, 12873, 10114, 6967, 3552, //
    8867, 12299, 11585, 10426, 8867, 6967, 4799, 2446, //
    4520, 6270, 5906, 5315, 4520, 3552, 2446, 1247,
];

/// Computes them from a quantization table in natural order. The fast transform keeps two fractional bits.
pub(super) fn factors(accuracy: Accuracy, quantization: &[u16; 64]) -> Factors {
    let factors = std::array::from_fn(|at| match accuracy {
        Accuracy::Quick => low((i32::from(quantization[at]) * SCALES[at] + (1 << 11)) >> 12),
        Accuracy::Accurate => low(i32::from(quantization[at])),
    });
    Factors(accuracy, factors)
}

/// Writes a block's samples into 8 rows of `plane` that begin `stride` apart.
pub(super) fn block(
    coefficients: &[i16; 64],
    Factors(accuracy, factors): &Factors,
    plane: &mut [u8],
    stride: usize,
) {
    if *accuracy == Accuracy::Accurate {
        let samples = accurate::samples(coefficients, factors);
        for (row, samples) in plane.chunks_mut(stride).zip(samples.chunks_exact(8)) {
            row[..8].copy_from_slice(samples);
        }
        return;
    }
    if coefficients[1..].iter().all(|coefficient| *coefficient == 0) {
        let value = sample(coefficients[0].wrapping_mul(factors[0]));
        for row in plane.chunks_mut(stride).take(8) {
            row[..8].fill(value);
        }
        return;
    }
    let mut values: [i16; 64] = std::array::from_fn(|at| coefficients[at].wrapping_mul(factors[at]));
    columns(&mut values);
    let mut values = transposed(&values);
    columns(&mut values);
    let values = transposed(&values);
    for (row, values) in plane.chunks_mut(stride).zip(values.chunks_exact(8)) {
        for (out, value) in row.iter_mut().zip(values) {
            *out = sample(*value);
        }
    }
}

fn transposed(values: &[i16; 64]) -> [i16; 64] {
    std::array::from_fn(|at| values[at % 8 * 8 + at / 8])
}

/// Five fractional bits are truncated, and the middle is at 128.
fn sample(value: i16) -> u8 {
    u8::try_from((value >> 5).clamp(-128, 127) + 128).unwrap_or(0)
}

/// The product with a number of 8 fractional bits, truncated.
fn product(value: i16, factor: i32) -> i16 {
    low((i32::from(value << 2) * (factor << 6)) >> 16)
}

/// The lower half, as in a 16-bit register.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is to be cut off")]
fn low(value: i32) -> i16 {
    value as i16
}

/// Transforms each column in place.
fn columns(values: &mut [i16; 64]) {
    for at in 0..8 {
        let input = |row: usize| values[row * 8 + at];
        let (sum, difference) = (input(0).wrapping_add(input(4)), input(0).wrapping_sub(input(4)));
        let outer = input(2).wrapping_add(input(6));
        let inner = product(input(2).wrapping_sub(input(6)), 362).wrapping_sub(outer);
        let even = [
            sum.wrapping_add(outer),
            difference.wrapping_add(inner),
            difference.wrapping_sub(inner),
            sum.wrapping_sub(outer),
        ];

        let (z13, z10) = (input(5).wrapping_add(input(3)), input(5).wrapping_sub(input(3)));
        let (z11, z12) = (input(1).wrapping_add(input(7)), input(1).wrapping_sub(input(7)));
        let odd7 = z11.wrapping_add(z13);
        let z5 = product(z10.wrapping_add(z12), 473);
        // -669 does not fit a product: it is -413 and one less.
        let odd12 = product(z10, -413).wrapping_sub(z10).wrapping_add(z5);
        let odd6 = odd12.wrapping_sub(odd7);
        let odd5 = product(z11.wrapping_sub(z13), 362).wrapping_sub(odd6);
        let odd4 = product(z12, 277).wrapping_sub(z5).wrapping_add(odd5);
        // The last one has the other sign.
        let odd = [odd7, odd6, odd5, odd4.wrapping_neg()];
        for (row, (even, odd)) in even.into_iter().zip(odd).enumerate() {
            values[row * 8 + at] = even.wrapping_add(odd);
            values[(7 - row) * 8 + at] = even.wrapping_sub(odd);
        }
    }
}
