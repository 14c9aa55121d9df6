//! Functions of single numbers. What is not a number stays so, also in a maximum.

use crate::op::{Binary, Comparison, Unary};

/// The constants of Klambauer et al. 2017, "Self-Normalizing Neural Networks": <https://arxiv.org/abs/1706.02515>.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

pub(super) fn unary(function: Unary, x: f64) -> f64 {
    match function {
        Unary::Relu => maximum(x, 0.0),
        Unary::Relu6 => minimum(maximum(x, 0.0), 6.0),
        Unary::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                f64::from(slope) * x
            }
        }
        Unary::Elu => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
        Unary::Selu => SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * x.exp_m1() },
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Tanh => x.tanh(),
        // The exponential of a large number overflows; that of its negative does not.
        Unary::Softplus => maximum(x, 0.0) + (-x.abs()).exp().ln_1p(),
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Erf => erf(x),
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Square => x * x,
        Unary::Abs => x.abs(),
        Unary::Negate => -x,
        Unary::Reciprocal => 1.0 / x,
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Sign => {
            if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        Unary::IsNan => f64::from(u8::from(x.is_nan())),
    }
}

pub(super) fn binary(function: Binary, left: f64, right: f64) -> f64 {
    match function {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        Binary::Power => left.powf(right),
        Binary::Maximum => maximum(left, right),
        Binary::Minimum => minimum(left, right),
        Binary::SquaredDifference => (left - right) * (left - right),
    }
}

pub(super) fn compare(by: Comparison, left: f64, right: f64) -> bool {
    match by {
        Comparison::Greater => left > right,
        Comparison::GreaterEqual => left >= right,
        Comparison::Less => left < right,
        Comparison::LessEqual => left <= right,
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
    }
}

/// The larger of two, unlike [`f64::max`] not a number where one is not.
pub(super) fn maximum(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}

/// The smaller of two, unlike [`f64::min`] not a number where one is not.
pub(super) fn minimum(one: f64, other: f64) -> f64 {
    if one.is_nan() || one < other { one } else { other }
}

/// `2 / sqrt(π) * exp(-x²) * sum over n of 2ⁿ * x^(2n + 1) / (1 * 3 * … * (2n + 1))`, whose terms have one sign:
/// <https://dlmf.nist.gov/7.6#E2>. Beyond 6 it is 1 but for 2e-17.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut sum, mut term, mut odd) = (0.0, x, 1.0);
    while sum + term != sum {
        sum += term;
        odd += 2.0;
        term *= 2.0 * x * x / odd;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
