//! How windows go beyond an image, in TensorFlow's words.

use tensorflow::Output;

use super::{Operand, image};
use crate::ops::fused::PaddingAttribute;
use crate::ops::{Fault, Ops};
use model::{Padding, Window};

/// Numbers for height and width as an attribute of operations over `[batch, height, width, channels]`.
pub(super) fn over_image(pair: [usize; 2]) -> [i64; 4] {
    [1, pair[0] as i64, pair[1] as i64, 1]
}

/// The padding attribute for windows over an image of this height and width.
pub(super) fn padding(windows: &[Window; 2], lengths: [usize; 2]) -> PaddingAttribute {
    let beyond = [0, 1].map(|axis| windows[axis].beyond(lengths[axis]));
    let usual = [0, 1].map(|axis| {
        let same = Window { padding: Padding::Same, ..windows[axis] };
        same.beyond(lengths[axis])
    });
    match windows.map(|window| window.padding) {
        [Padding::VALID, Padding::VALID] => PaddingAttribute::Named("VALID"),
        _ if beyond == usual => PaddingAttribute::Named("SAME"),
        _ if beyond == [[0, 0]; 2] => PaddingAttribute::Named("VALID"),
        _ => PaddingAttribute::Explicit(beyond),
    }
}

/// The input and the padding attribute for an operation without explicit padding. Where that is not `SAME` or `VALID`,
/// the input is padded with the value `beyond` first.
pub(super) fn padded(
    ops: &mut Ops,
    windows: &[Window; 2],
    input: &Operand<'_>,
    beyond: f32,
) -> Result<(Output, &'static str), Fault> {
    let [height, width, _] = image(input.shape)?;
    match padding(windows, [height, width]) {
        PaddingAttribute::Named(word) => Ok((input.output.clone(), word)),
        PaddingAttribute::Explicit(edges) => {
            let padded = ops.pad(&input.output, &around(edges), beyond)?;
            Ok((padded, "VALID"))
        }
    }
}

/// Edges of height and width as those of all axes.
pub(super) fn around([vertical, horizontal]: [[usize; 2]; 2]) -> [[usize; 2]; 4] {
    [[0, 0], vertical, horizontal, [0, 0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_has_the_usual_name_where_it_is_the_usual_one() {
        let window = |size, stride, before, after| Window {
            size,
            stride,
            dilation: 1,
            padding: Padding::Explicit { before, after },
        };
        let check = |window: Window, length, expected| {
            assert_eq!(padding(&[window; 2], [length; 2]), expected, "{window:?} {length}");
        };
        // MobileNetV2 pads images of even sizes as TensorFlow would, ResNet50 does not.
        check(window(3, 2, 0, 1), 224, PaddingAttribute::Named("SAME"));
        check(window(3, 2, 1, 1), 225, PaddingAttribute::Named("SAME"));
        check(window(7, 2, 3, 3), 224, PaddingAttribute::Explicit([[3, 3]; 2]));
        check(window(3, 1, 0, 0), 224, PaddingAttribute::Named("VALID"));
        check(Window { padding: Padding::Same, ..window(3, 2, 0, 0) }, 224, PaddingAttribute::Named("SAME"));
        check(Window { padding: Padding::Same, ..Window::of(1) }, 224, PaddingAttribute::Named("SAME"));
    }
}
