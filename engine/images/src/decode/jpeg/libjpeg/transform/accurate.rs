//! The inverse cosine transform of Loeffler, Ligtenberg and Moschytz in 32-bit integers with 13 fractional bits, rounded,
//! as libjpeg's `jidctint.c` has it.

/// Columns first; their results keep two fractional bits.
pub(super) fn samples(coefficients: &[i16; 64], quantization: &[i16; 64]) -> [u8; 64] {
    let mut values: [i32; 64] =
        std::array::from_fn(|at| i32::from(coefficients[at]) * i32::from(quantization[at]));
    for column in 0..8 {
        pass(&mut values, |at| at * 8 + column, 13 - 2);
    }
    for row in 0..8 {
        pass(&mut values, |at| row * 8 + at, 13 + 2 + 3);
    }
    values.map(|value| u8::try_from((value + 128).clamp(0, 255)).unwrap_or(0))
}

/// Transforms eight of the values; so many fractional bits are rounded off.
fn pass(values: &mut [i32; 64], index: impl Fn(usize) -> usize, bits: u32) {
    // Corrupt coefficients may be too large: they wrap.
    let times = |value: i32, factor: i32| value.wrapping_mul(factor);
    let sum = |a: i32, b: i32| a.wrapping_add(b);
    let [c0, c1, c2, c3, c4, c5, c6, c7] = std::array::from_fn(|at| values[index(at)]);

    let z1 = times(sum(c2, c6), 4_433);
    let (t2, t3) = (sum(z1, times(c6, -15_137)), sum(z1, times(c2, 6_270)));
    let (t0, t1) = (times(sum(c0, c4), 1 << 13), times(c0.wrapping_sub(c4), 1 << 13));
    let even = [sum(t0, t3), sum(t1, t2), t1.wrapping_sub(t2), t0.wrapping_sub(t3)];

    let (z1, z2, z3, z4) = (sum(c7, c1), sum(c5, c3), sum(c7, c3), sum(c5, c1));
    let z5 = times(sum(z3, z4), 9_633);
    let (z1, z2) = (times(z1, -7_373), times(z2, -20_995));
    let (z3, z4) = (sum(times(z3, -16_069), z5), sum(times(z4, -3_196), z5));
    let odd = [
        sum(times(c1, 12_299), sum(z1, z4)),
        sum(times(c3, 25_172), sum(z2, z3)),
        sum(times(c5, 16_819), sum(z2, z4)),
        sum(times(c7, 2_446), sum(z1, z3)),
    ];
    let rounded = |value: i32| sum(value, 1 << (bits - 1)) >> bits;
    for (at, (even, odd)) in even.into_iter().zip(odd).enumerate() {
        values[index(at)] = rounded(sum(even, odd));
        values[index(7 - at)] = rounded(even.wrapping_sub(odd));
    }
}
