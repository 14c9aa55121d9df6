//! The scaling of values right behind a model's input, as one factor and one summand per channel.

use model::{Binary, Range};

use crate::Tensor;
use crate::layers::{Arithmetic, Layer, Operand, Part};

/// `value * factor + summand` for each channel.
pub(super) struct Scaling {
    factors: Vec<f64>,
    summands: Vec<f64>,
    /// The layers and operations that made it.
    by: Vec<String>,
    keeps_positions: bool,
}

/// The widths that values from 0 to 255 have after a usual scaling: from 0 to 1 up to those of `preprocess_input` in its
/// mode `torch`, divided once more in EfficientNet.
const USUAL_WIDTHS: std::ops::RangeInclusive<f64> = 0.5..=30.0;

/// The summand of a scaling that only centres values from 0 to 255.
const CENTRING: std::ops::RangeInclusive<f64> = -200.0..=-50.0;

impl Scaling {
    pub(super) fn new(channels: usize) -> Self {
        let channels = channels.max(1);
        Self {
            factors: vec![1.0; channels],
            summands: vec![0.0; channels],
            by: Vec::new(),
            keeps_positions: true,
        }
    }

    /// Takes a layer on. Returns whether it only scales or moves values.
    pub(super) fn goes_through(&mut self, layer: &Layer, class: &str) -> bool {
        if let Layer::Identity = layer {
            true
        } else if let Layer::Flatten
        | Layer::Reshape { .. }
        | Layer::Permute { .. }
        | Layer::CenterCrop { .. }
        | Layer::Cropping2d(_) = layer
        {
            self.keeps_positions = false;
            true
        } else if let Layer::Sequential(layers) = layer {
            layers.iter().all(|layer| self.goes_through(layer, class))
        } else if let Layer::Rescaling { scale, offset } = layer {
            let shown = match (&scale[..], &offset[..]) {
                ([scale], [offset]) if *offset == 0.0 => format!("`{class}({})`", number(*scale)),
                ([scale], [offset]) => format!("`{class}({}, {})`", number(*scale), number(*offset)),
                _ => format!("`{class}`"),
            };
            self.times(scale) && self.plus(offset, 1.0) && self.told_as(shown)
        } else if let Layer::Normalization { mean, variance } = layer {
            self.normalized(mean, variance, class)
        } else if let Layer::Arithmetic(operation) = layer {
            self.operation(operation)
        } else if let Layer::Slice { parts } = layer {
            self.backwards(parts)
        } else {
            false
        }
    }

    fn normalized(&mut self, mean: &Tensor, variance: &Tensor, class: &str) -> bool {
        let inverted: Vec<f32> = variance.values.iter().map(|value| 1.0 / value.sqrt().max(1e-7)).collect();
        // As it is made, before it is adapted to anything.
        let does_nothing = mean.values.iter().all(|mean| *mean == 0.0)
            && variance.values.iter().all(|variance| *variance == 1.0);
        self.plus(&mean.values, -1.0)
            && self.times(&inverted)
            && (does_nothing || self.told_as(format!("`{class}`")))
    }

    fn operation(&mut self, operation: &Arithmetic) -> bool {
        let (constant, is_left) = match (&operation.left, &operation.right) {
            (Operand::Input(_), Operand::Constant(constant)) => (constant, false),
            (Operand::Constant(constant), Operand::Input(_)) => (constant, true),
            (Operand::Input(_), Operand::Input(_)) | (Operand::Constant(_), Operand::Constant(_)) => {
                return false;
            }
        };
        let Tensor { values, .. } = constant;
        let inverted: Vec<f32> = values.iter().map(|value| 1.0 / value).collect();
        let (is_done, sign) = match (operation.kind, is_left) {
            (Binary::Add, _) => (self.plus(values, 1.0), "+"),
            (Binary::Subtract, false) => (self.plus(values, -1.0), "-"),
            (Binary::Multiply, _) => (self.times(values), "*"),
            (Binary::Divide, false) => (self.times(&inverted), "/"),
            _ => return false,
        };
        // Keras adds what is the opposite of a mean.
        let is_less = sign == "+" && values.iter().all(|value| *value < 0.0);
        let sign = if is_less { "-" } else { sign };
        let shown: Vec<String> =
            values.iter().map(|value| number(if is_less { -value } else { *value })).collect();
        let shown = if shown.len() == 1 { shown.concat() } else { format!("[{}]", shown.join(", ")) };
        is_done && self.told_as(format!("`x {sign} {shown}`"))
    }

    /// Red, green and blue become blue, green and red.
    fn backwards(&mut self, parts: &[Part]) -> bool {
        let backwards = Part::Range(Range { start: None, stop: None, step: -1 });
        let Some((last, before)) = parts.split_last() else { return false };
        if *last != backwards || before.iter().any(|part| *part != Part::WHOLE) {
            return false;
        }
        self.reversed()
    }

    /// Takes channels in the opposite order on.
    pub(super) fn reversed(&mut self) -> bool {
        self.factors.reverse();
        self.summands.reverse();
        self.told_as("`x[..., ::-1]`".to_owned())
    }

    fn told_as(&mut self, shown: String) -> bool {
        self.by.push(shown);
        true
    }

    fn times(&mut self, by: &[f32]) -> bool {
        self.each(by, |factor, summand, by| (factor * by, summand * by))
    }

    fn plus(&mut self, by: &[f32], sign: f64) -> bool {
        self.each(by, |factor, summand, by| (factor, summand + sign * by))
    }

    fn each(&mut self, by: &[f32], change: impl Fn(f64, f64, f64) -> (f64, f64)) -> bool {
        let channels = self.factors.len();
        if by.len() != 1 && by.len() != channels {
            return false;
        }
        for channel in 0..channels {
            let by = f64::from(by[if by.len() == 1 { 0 } else { channel }]);
            (self.factors[channel], self.summands[channel]) =
                change(self.factors[channel], self.summands[channel], by);
        }
        true
    }

    /// Returns whether values from 0 to 255 are what it makes usual values of.
    pub(super) fn takes_0_to_255(&self) -> bool {
        self.factors.iter().zip(&self.summands).all(|(factor, summand)| {
            let width = 255.0 * factor;
            let only_centres = (*factor - 1.0).abs() < 1e-3 && CENTRING.contains(summand);
            // Zero lies between the ends, or is one.
            let is_about_zero = *summand <= 0.01 && summand + width >= -0.01;
            only_centres || (USUAL_WIDTHS.contains(&width) && is_about_zero)
        })
    }

    /// Returns the layers and operations that scale, as a sentence has them; none where nothing does.
    pub(super) fn told(&self) -> Option<String> {
        match &self.by[..] {
            [] => None,
            [one] => Some(format!("{one} stands")),
            [before @ .., last] => Some(format!("{} and {last} stand", before.join(", "))),
        }
    }

    pub(super) fn keeps_positions(&self) -> bool {
        self.keeps_positions
    }
}

/// As code has it: `1/127.5` and not `0.007843138`.
fn number(value: f32) -> String {
    let inverse = f64::from(value).recip();
    let halves = (inverse * 2.0).round() / 2.0;
    if value != 0.0 && value.abs() < 0.5 && (inverse - halves).abs() < 1e-5 * inverse.abs() {
        return if halves < 0.0 { format!("-1/{}", -halves) } else { format!("1/{halves}") };
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescaled(scale: f32, offset: f32) -> Scaling {
        let mut scaling = Scaling::new(3);
        let layer = Layer::Rescaling { scale: vec![scale], offset: vec![offset] };
        assert!(scaling.goes_through(&layer, "Rescaling"));
        scaling
    }

    #[test]
    fn a_scaling_is_told_as_code_has_it() {
        for (scale, offset, told) in [
            (1.0 / 255.0, 0.0, "`Rescaling(1/255)` stands"),
            (1.0 / 127.5, -1.0, "`Rescaling(1/127.5, -1)` stands"),
            (255.0, 0.0, "`Rescaling(255)` stands"),
            (0.3, 0.0, "`Rescaling(0.3)` stands"),
        ] {
            assert_eq!(rescaled(scale, offset).told().as_deref(), Some(told));
        }
        assert_eq!(Scaling::new(3).told(), None);
    }

    #[test]
    fn only_scalings_of_values_from_0_to_255_say_so() {
        for (scale, offset, says) in [
            (1.0 / 255.0, 0.0, true),
            (1.0 / 127.5, -1.0, true),
            (1.0 / 128.0, -1.0, true),
            (1.0, -127.5, true),
            // Values from 0 to 1 or -1 to 1, which are scaled again.
            (255.0, 0.0, false),
            (2.0, -1.0, false),
            (127.5, 127.5, false),
            (0.5, 0.5, false),
            (1.0, 0.0, false),
        ] {
            assert_eq!(rescaled(scale, offset).takes_0_to_255(), says, "{scale} {offset}");
        }
    }

    #[test]
    fn a_normalization_says_which_values_it_was_adapted_to() {
        let tensor = |values: &[f32]| Tensor { shape: vec![1, 1, values.len()], values: values.into() };
        for (mean, variance, says) in [
            (&[123.0, 117.0, 104.0][..], &[3400.0, 3300.0, 3500.0][..], true),
            (&[127.0], &[4096.0], true),
            (&[0.48, 0.46, 0.41], &[0.052, 0.05, 0.051], false),
            (&[0.0], &[1.0], false),
        ] {
            let mut scaling = Scaling::new(3);
            let layer = Layer::Normalization { mean: tensor(mean), variance: tensor(variance) };
            assert!(scaling.goes_through(&layer, "Normalization"));
            assert_eq!(scaling.takes_0_to_255(), says, "{mean:?}");
            assert_eq!(scaling.told().is_some(), mean[0] != 0.0);
        }
    }
}
