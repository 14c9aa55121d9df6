//! How the model's outputs become labels and scores.

use keras::reading::Ending;
use serde_json::{Map, Value, json};

use super::choices::{Activation, Choices};
use super::{Facts, labels::Labels};

/// How outputs become labels and scores.
pub(super) struct Scored {
    /// `output_postproc_type` and `output_config`.
    pub(super) config: Map<String, Value>,
    /// Where the labels are from.
    pub(super) labels: String,
    /// What makes scores of the outputs.
    pub(super) scores: String,
}

/// Decides what makes scores of the outputs. The labels are none where they are not known themselves.
///
/// # Errors
/// It is not known; tells the choices.
pub(super) fn scored(facts: &Facts, labels: Option<Labels>, choices: &Choices) -> Result<Scored, String> {
    let (activation, scores) = activation(facts, choices)?;
    // Their own question has been put.
    let labels = labels.unwrap_or_else(|| Labels { names: Vec::new(), told: String::new() });
    let is_binary = facts.scores == Some(1);
    let mut section = Map::from_iter([("output_classes".to_owned(), json!(labels.names))]);
    if let Some(activation) = activation {
        section.insert("activation".to_owned(), json!(activation.name()));
    }
    if let Some(output) = &facts.output {
        section.insert("output_name".to_owned(), json!(output));
    }
    let (kind, rule) = match is_binary {
        true => ("binary", "the second label from 0.5 on, else the first"),
        false => ("argmax", "the label with the largest"),
    };
    let config = Map::from_iter([
        ("output_postproc_type".to_owned(), json!(kind)),
        ("output_config".to_owned(), Value::Object(section)),
    ]);
    Ok(Scored { config, labels: labels.told, scores: format!("{scores}; the answer is {rule}") })
}

/// What is applied to the outputs, and a sentence that says so.
fn activation(facts: &Facts, choices: &Choices) -> Result<(Option<Activation>, String), String> {
    let own = match &facts.ending {
        Some(Ending::Softmax) => Some("softmax"),
        Some(Ending::Sigmoid) => Some("sigmoid"),
        Some(Ending::Other(_)) | None => None,
    };
    match (own, choices.activation) {
        (Some("softmax"), _) if facts.scores == Some(1) => {
            Err("its one output goes through softmax, which makes 1 of any value: the model tells nothing"
                .to_owned())
        }
        (Some(own), None | Some(Activation::None)) => Ok((None, format!("the model ends in {own}"))),
        (Some(own), Some(given)) => {
            Err(format!("--activation is {}, but the model ends in {own} already", given.name()))
        }
        (None, Some(Activation::Softmax)) if facts.scores == Some(1) => {
            Err("--activation is softmax, which makes 1 of any single output, expected sigmoid".to_owned())
        }
        (None, Some(Activation::None)) => {
            Ok((None, "the outputs as they are, as --activation none says".to_owned()))
        }
        (None, Some(given)) => {
            Ok((Some(given), format!("{0} of the outputs, as --activation {0} says", given.name())))
        }
        (None, None) => Err(question(facts)),
    }
}

fn question(facts: &Facts) -> String {
    let fact = match &facts.ending {
        Some(Ending::Other(class)) => format!("The model ends in `{class}` without softmax or sigmoid"),
        Some(Ending::Softmax | Ending::Sigmoid) | None => {
            "The graph does not tell what it ends in".to_owned()
        }
    };
    let softmax = match facts.scores {
        Some(1) => "",
        Some(_) | None => {
            "\n  --activation softmax  trained with CategoricalCrossentropy or SparseCategoricalCrossentropy, from_logits=True"
        }
    };
    format!(
        "what makes scores of its outputs? {fact}. Choose:{softmax}\n  --activation sigmoid  trained with \
         BinaryCrossentropy(from_logits=True)\n  --activation none     they are scores already"
    )
}
