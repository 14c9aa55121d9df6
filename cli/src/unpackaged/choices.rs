//! The flags that say what a model does not say itself.

use clap::{Args, ValueEnum};
use common::ids::ModelName;
use common::package::Recipe;

use super::Source;
use crate::usage::UsageError;

/// The flags that say what a model does not say itself.
#[derive(Debug, Clone, Default, Args)]
#[group(id = "choices")]
pub struct Choices {
    /// The package's name; without it the file's name.
    #[arg(long, value_name = "NAME", value_parser = ModelName::parse, requires = "file")]
    pub name: Option<ModelName>,

    /// How images were read in training, such as `load_img-255`. Without it the model itself says it, or the command
    /// ends with the choices.
    #[arg(long, value_name = "RECIPE", value_parser = parse_recipe, requires = "file")]
    pub recipe: Option<&'static Recipe>,

    /// The labels in the order of the outputs: a file, or the labels with commas between. Without it labels.txt,
    /// class_names.txt or class_indices.json beside the model.
    #[arg(long, value_name = "FILE|LABELS", requires = "file")]
    pub labels: Option<String>,

    /// What makes scores of the outputs of a model that ends without softmax or sigmoid.
    #[arg(long, value_enum, requires = "file")]
    pub activation: Option<Activation>,

    /// Height and width of the images, such as 224x224, for a model that takes any size.
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = parse_size, requires = "file")]
    pub size: Option<[usize; 2]>,

    /// The output with the scores, of a model with several.
    #[arg(long, value_name = "NAME", requires = "file")]
    pub output: Option<String>,
}

/// What makes scores of a model's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Activation {
    /// Softmax: the labels exclude each other.
    Softmax,
    /// A sigmoid each.
    Sigmoid,
    /// Nothing: they are scores.
    None,
}

impl Activation {
    /// Returns its name in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::None => "none",
        }
    }
}

impl Choices {
    /// Returns whether any of them is set.
    #[must_use]
    pub fn any(&self) -> bool {
        let Self { name, recipe, labels, activation, size, output } = self;
        name.is_some()
            || recipe.is_some()
            || labels.is_some()
            || activation.is_some()
            || size.is_some()
            || output.is_some()
    }

    /// Returns the package's name.
    ///
    /// # Errors
    /// The file's name has no letter or digit for it.
    pub(super) fn name_of(&self, source: &Source) -> Result<ModelName, UsageError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let name: String = source.stem.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        let name: String = name.trim_start_matches('.').chars().take(ModelName::MAX_LEN).collect();
        ModelName::parse(&name).map_err(|_| {
            UsageError(format!("`{}` gives the package no name: say it with --name", source.stem))
        })
    }
}

fn parse_recipe(text: &str) -> Result<&'static Recipe, String> {
    Recipe::named(text).ok_or_else(|| {
        let names: Vec<&str> = Recipe::all().iter().map(|recipe| recipe.name.as_str()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let sides =
        text.split_once(['x', '×']).map(|(height, width)| [height, width].map(|side| side.trim().parse()));
    match sides {
        Some([Ok(height), Ok(width)]) if height > 0 && width > 0 => Ok([height, width]),
        _ => Err("expected height and width such as 224x224".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_height_and_width() {
        assert_eq!(parse_size("224x160"), Ok([224, 160]));
        for bad in ["224", "0x3", "x", "3x", "axb", "-1x2"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_recipe_is_told_with_the_known_ones() {
        assert_eq!(parse_recipe("caffe").unwrap().name, "caffe");
        let error = parse_recipe("cafe").unwrap_err();
        assert!(
            error.contains("image_dataset_from_directory, ") && error.contains("teachable_machine"),
            "{error}"
        );
    }
}
