//! `Lambda`: Python code, which is never run here. Where it is the code or the name of one of Keras's own functions, what it
//! computes is known.
//!
//! ```text
//! Keras 2   "function": ["4wIAAA…", defaults, closure], "function_type": "lambda",
//!           "module": "keras.applications.mobilenet_v2"      any function: its code, and where it was defined
//!           "function": "name", "function_type": "function"  what can be called and is no function
//! Keras 3   "function": {"module": "builtins", "class_name": "function", "config": "relu"}
//!           "function": {"class_name": "__lambda__", …}      code
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Binary, Range, Tensor};
use serde_json::Value;

use crate::architecture::Dialect;
use crate::json::shown;
use crate::layers::{Arithmetic, Layer, Operand, Part, activation};
use crate::reader::Reader;

/// The name of the function that preprocesses an image, in each of Keras's applications.
const PREPROCESS: &str = "preprocess_input";

/// How to replace Python code.
const INSTEAD: &str = "replace it by `keras.layers.Rescaling(1 / 127.5, offset=-1)` or what else it computes, as layers \
                       or operations, and save the model again, or export a SavedModel with `model.export(…)`";

pub(super) fn lambda(reader: &mut Reader) -> Layer {
    // The declared output shape, and how the function was serialized.
    reader.ignore(&["output_shape", "output_shape_type", "output_shape_module", "function_type"]);
    reader.unset("mask");
    let module = reader.value("module").and_then(Value::as_str).unwrap_or_default();
    let found = match reader.value("function") {
        Some(Value::String(name)) => by_name(name, module, reader.dialect),
        Some(Value::Array(dumped)) => by_code(dumped, module),
        Some(Value::Object(named)) if named.get("class_name").is_some_and(|class| class == "function") => {
            let module = named.get("module").and_then(Value::as_str).unwrap_or_default();
            match named.get("config").and_then(Value::as_str) {
                Some(name) => by_name(name, module, reader.dialect),
                None => Err(code()),
            }
        }
        Some(_) | None => Err(code()),
    };
    // Images have their channels last by default.
    let arguments = reader.value("arguments").filter(|arguments| {
        let mut given = arguments.as_object().into_iter().flatten();
        !given.all(|(key, value)| key == "data_format" && (value.is_null() || *value == "channels_last"))
    });
    match (found, arguments) {
        (Ok(layer), None) => layer,
        (Ok(_), Some(arguments)) => {
            reader.fault(format!("`arguments` is {}, which is not supported: {INSTEAD}", shown(arguments)));
            Layer::Identity
        }
        (Err(problem), _) => {
            // No other setting matters then.
            reader.ignore_everything();
            reader.fault(problem);
            Layer::Identity
        }
    }
}

fn code() -> String {
    format!("it holds Python code, which is never run here: {INSTEAD}")
}

/// Finds a function by name, as Keras does: in a module of its applications, or among its activations.
fn by_name(name: &str, module: &str, dialect: Dialect) -> Result<Layer, String> {
    if name == PREPROCESS {
        return of_application(module).ok_or_else(|| {
            format!("it calls `{PREPROCESS}`, but of which of Keras's applications is not said: {INSTEAD}")
        });
    }
    let function = activation::parse(&Value::from(name), dialect);
    function
        .map(Layer::Activation)
        .map_err(|_| format!("it calls the Python function `{name}`, which is not known here: {INSTEAD}"))
}

/// Finds a function by the code that Keras 2 stores: base64 of Python's `marshal`, which holds the function's name.
fn by_code(dumped: &[Value], module: &str) -> Result<Layer, String> {
    let text = dumped.first().and_then(Value::as_str).unwrap_or_default();
    let lines: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(lines).unwrap_or_default();
    let is_named = bytes.windows(PREPROCESS.len()).any(|part| part == PREPROCESS.as_bytes());
    // The only default is that of the last argument: `data_format` is `None`.
    let has_defaults = dumped.get(1).is_none_or(|defaults| {
        defaults.is_null() || defaults.as_array().is_some_and(|list| list.iter().all(Value::is_null))
    });
    let encloses_nothing = dumped.get(2).is_none_or(Value::is_null);
    let layer = of_application(module).filter(|_| is_named && has_defaults && encloses_nothing);
    layer.ok_or_else(code)
}

/// What `preprocess_input` of a module such as `tf_keras.src.applications.mobilenet_v2` computes, after
/// `imagenet_utils.py`.
fn of_application(module: &str) -> Option<Layer> {
    let (package, application) = module.rsplit_once(".applications.")?;
    let root = package.split('.').next()?;
    if !["keras", "tf_keras", "tensorflow", "keras_applications"].contains(&root) {
        return None;
    }
    let by = |kind, values: &[f32]| {
        let shape = if values.len() == 1 { Vec::new() } else { vec![values.len()] };
        let (left, right) = (Operand::Input(0), Operand::Constant(Tensor::new(&shape, values)));
        Layer::Arithmetic(Arithmetic { kind, left, right })
    };
    Some(match application {
        "mobilenet"
        | "mobilenet_v2"
        | "inception_v3"
        | "inception_resnet_v2"
        | "xception"
        | "nasnet"
        | "resnet_v2" => Layer::Sequential(vec![by(Binary::Divide, &[127.5]), by(Binary::Subtract, &[1.0])]),
        "resnet" | "resnet50" | "vgg16" | "vgg19" => {
            let backwards = Part::Range(Range { step: -1, ..Range::WHOLE });
            Layer::Sequential(vec![
                Layer::Slice { parts: vec![Part::WHOLE, Part::WHOLE, backwards] },
                by(Binary::Subtract, &[103.939, 116.779, 123.68]),
            ])
        }
        "densenet" => Layer::Sequential(vec![
            by(Binary::Divide, &[255.0]),
            by(Binary::Subtract, &[0.485, 0.456, 0.406]),
            by(Binary::Divide, &[0.229, 0.224, 0.225]),
        ]),
        "efficientnet" | "efficientnet_v2" | "convnext" | "mobilenet_v3" | "regnet" | "resnet_rs" => {
            Layer::Identity
        }
        _ => return None,
    })
}
