//! Recipes with a name of their own: how images were read in training, and the line of training code that each answers
//! to. `tools/package_model.py` reads the same list.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A recipe of the list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, such as `load_img-255`.
    pub name: String,
    /// The training code that it answers to.
    pub training: String,
    /// What `tools/package_model.py` calls the framework, and its settings.
    #[serde(rename = "read")]
    _read: String,
    #[serde(rename = "settings")]
    _settings: Map<String, Value>,
    img_preproc_type: String,
    image_preproc_config: Map<String, Value>,
}

static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("recipes.json"))
        .expect("the list is part of the program, and a test reads it")
});

impl Recipe {
    /// Returns all recipes, the most common first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &RECIPES
    }

    /// Returns the recipe of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        RECIPES.iter().find(|recipe| recipe.name == name)
    }

    /// Returns `img_preproc_type` and `image_preproc_config` for images of this shape.
    #[must_use]
    pub fn config(&self, input_shape: [usize; 3]) -> (String, Value) {
        let mut section = Map::from_iter([("input_shape".to_owned(), json!(input_shape))]);
        section.extend(self.image_preproc_config.clone());
        if input_shape[2] == 1 {
            // Grey is the same in either order.
            section.remove("channel_order");
        }
        (self.img_preproc_type.clone(), Value::Object(section))
    }

    /// Returns whether it reads images of so many channels. What `preprocess_input` subtracts is for three, and grey that
    /// was made of colours in another order is the same as the other recipe of OpenCV.
    #[must_use]
    pub fn takes(&self, channels: usize) -> bool {
        channels == 3
            || !(self.image_preproc_config.contains_key("preprocess_input") || self.name.contains("rgb"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::ModelConfig;

    #[test]
    fn every_recipe_is_a_config_for_each_number_of_channels_that_it_takes() {
        assert!(Recipe::all().len() >= 19);
        for recipe in Recipe::all() {
            for channels in [1, 3].into_iter().filter(|channels| recipe.takes(*channels)) {
                let (kind, section) = recipe.config([24, 32, channels]);
                let config = json!({"img_preproc_type": kind, "image_preproc_config": section,
                    "output_postproc_type": "argmax", "output_config": {"output_classes": ["a", "b"]}});
                let parsed = ModelConfig::parse(config.to_string().as_bytes());
                assert!(parsed.is_ok(), "{}: {parsed:?}", recipe.name);
            }
            assert_eq!(Recipe::named(&recipe.name).unwrap().training, recipe.training);
        }
        assert!(!Recipe::named("caffe").unwrap().takes(1));
        assert!(Recipe::named("load_img-256").is_none());
    }

    #[test]
    fn no_two_recipes_are_the_same() {
        for (index, one) in Recipe::all().iter().enumerate() {
            for other in &Recipe::all()[..index] {
                assert_ne!(one.name, other.name);
                assert_ne!(one.config([2, 2, 3]), other.config([2, 2, 3]), "{} and {}", one.name, other.name);
            }
        }
    }
}
