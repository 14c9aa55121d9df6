//! What a model's file says.

use anyhow::{Context as _, bail};
use keras::reading::{self, Ending, Pixels, Reading};
use tensorflow_engine::{TensorInfo, describe};

use super::{Source, has_layers};
use crate::usage::UsageError;

/// What a model's file says.
pub(super) struct Facts {
    /// Sizes of the input after the batch.
    pub(super) input: Vec<Option<usize>>,
    /// The size to which a model of open sizes stretches an image itself.
    pub(super) stretched_to: Option<[usize; 2]>,
    /// The values that it takes.
    pub(super) pixels: Pixels,
    /// The function that its scores come from; unknown for a graph.
    pub(super) ending: Option<Ending>,
    /// The number of its scores.
    pub(super) scores: Option<usize>,
    /// The output with the scores, of several.
    pub(super) output: Option<String>,
    /// The program that wrote it.
    pub(super) written_by: Option<String>,
}

impl Facts {
    /// Reads the model; of several outputs, `output` has the scores.
    ///
    /// # Errors
    /// It cannot be read or served, or has several outputs and none is named.
    pub(super) fn of(source: &Source, output: Option<&str>) -> anyhow::Result<Self> {
        if has_layers(source.format) {
            Self::of_layers(source, output)
        } else {
            Self::of_graph(source, output)
        }
    }

    fn of_layers(source: &Source, output: Option<&str>) -> anyhow::Result<Self> {
        let model = keras::open(&source.path, source.format)
            .with_context(|| format!("{} cannot be served", source.shown()))?;
        let names: Vec<&str> = model.output_names.iter().map(String::as_str).collect();
        let index = chosen(source, &names, output)?;
        let Reading { input, stretched_to, pixels, ending, scores } = reading::of(&model, index);
        let version = keras::written_by(&source.path, source.format);
        Ok(Self {
            input,
            stretched_to,
            pixels,
            ending: Some(ending),
            scores,
            output: (names.len() > 1).then(|| names[index].to_owned()),
            written_by: version.map(|version| format!("Keras {version}")),
        })
    }

    fn of_graph(source: &Source, output: Option<&str>) -> anyhow::Result<Self> {
        let said = describe(&source.path).with_context(|| format!("{} cannot be served", source.shown()))?;
        let outputs = &said.signature.outputs;
        let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        let index = chosen(source, &names, output)?;
        let after_batch = |tensor: &TensorInfo| tensor.shape.as_ref()?.get(1..).map(<[_]>::to_vec);
        let [input] = &said.signature.inputs[..] else {
            bail!(UsageError(format!(
                "{} has {} inputs, expected one image",
                source.shown(),
                said.signature.inputs.len()
            )));
        };
        Ok(Self {
            input: after_batch(input).unwrap_or_else(|| vec![None, None, Some(3)]),
            stretched_to: None,
            pixels: Pixels::Unsaid { scaled_by: None },
            ending: None,
            scores: outputs
                .get(index)
                .and_then(after_batch)
                .and_then(|sizes| sizes.last().copied().flatten()),
            output: (names.len() > 1).then(|| names[index].to_owned()),
            written_by: said.tensorflow_version.map(|version| format!("TensorFlow {version}")),
        })
    }
}

/// The index of the output with the scores.
fn chosen(source: &Source, names: &[&str], wanted: Option<&str>) -> Result<usize, UsageError> {
    let known = || format!("`{}`", names.join("`, `"));
    match wanted {
        None if names.len() == 1 => Ok(0),
        None => Err(UsageError(format!(
            "{} has {} outputs, {}: say with --output which has the scores",
            source.shown(),
            names.len(),
            known()
        ))),
        Some(wanted) => names.iter().position(|name| *name == wanted).ok_or_else(|| {
            UsageError(format!("{} has no output `{wanted}`, expected one of {}", source.shown(), known()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_outputs_one_is_named_and_the_only_one_needs_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("animals.h5");
        std::fs::write(&path, "").unwrap();
        let source = Source::at(&path).unwrap();
        assert_eq!(chosen(&source, &["a"], None).unwrap(), 0);
        assert_eq!(chosen(&source, &["a", "b"], Some("b")).unwrap(), 1);
        let error = chosen(&source, &["a", "b"], None).unwrap_err().to_string();
        assert!(
            error.ends_with("has 2 outputs, `a`, `b`: say with --output which has the scores"),
            "{error}"
        );
        let error = chosen(&source, &["a", "b"], Some("c")).unwrap_err().to_string();
        assert!(error.ends_with("has no output `c`, expected one of `a`, `b`"), "{error}");
    }
}
