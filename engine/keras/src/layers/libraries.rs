//! Classes and functions of well-known libraries that have neither weights nor code of their own to run: each computes what
//! something of Keras's computes.

use crate::layers::Activation;

/// Whether a class of a library does nothing at inference.
///
/// Source: `FixedDropout` in `efficientnet/model.py` of <https://github.com/qubvel/efficientnet>, which is Keras's `Dropout`
/// with another shape of noise.
pub(super) fn is_inert(class: &str) -> bool {
    matches!(class, "FixedDropout" | "Custom>FixedDropout" | "efficientnet>FixedDropout")
}

/// A function of a library by the name that it registers.
///
/// Source: `tensorflow_addons/activations` of <https://github.com/tensorflow/addons>, with the defaults there.
pub(super) fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "Addons>mish" => Activation::Mish,
        "Addons>gelu" => Activation::Gelu { approximate: true },
        "Addons>hardshrink" => Activation::HardShrink { threshold: 0.5 },
        "Addons>softshrink" => Activation::SoftShrink { threshold: 0.5 },
        "Addons>tanhshrink" => Activation::TanhShrink,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::architecture::Dialect;
    use crate::layers::activation::parse;
    use crate::{layers::Verdict, verdict};

    #[test]
    fn what_a_library_registers_is_read_in_each_form_of_a_file() {
        let registered = json!({"module": null, "class_name": "function", "config": "mish",
            "registered_name": "Addons>mish"});
        for (value, expected) in [
            (json!("Addons>mish"), Activation::Mish),
            (registered, Activation::Mish),
            (json!("Addons>gelu"), Activation::Gelu { approximate: true }),
            (json!("Addons>softshrink"), Activation::SoftShrink { threshold: 0.5 }),
        ] {
            for dialect in [Dialect::Keras2, Dialect::Keras3] {
                assert_eq!(parse(&value, dialect), Ok(expected), "{value}");
            }
        }
        let unknown = json!({"class_name": "function", "config": "mish", "registered_name": "Mine>mish"});
        assert!(parse(&unknown, Dialect::Keras3).is_err());
        assert!(parse(&json!("Addons>snake"), Dialect::Keras2).is_err());
    }

    #[test]
    fn a_dropout_of_a_library_does_nothing() {
        assert_eq!(verdict("FixedDropout"), Verdict::Inert);
        assert_eq!(verdict("Custom>FixedDropout"), Verdict::Inert);
        assert_eq!(verdict("Mine>FixedDropout"), Verdict::Refused);
    }
}
