//! How images are read: as the model says, or as the flags say, or not at all.

use common::package::Recipe;
use keras::reading::Pixels;
use serde_json::{Map, Value, json};

use super::choices::Choices;
use super::facts::Facts;

/// How images are read.
pub(super) struct Read {
    /// `img_preproc_type` and `image_preproc_config`.
    pub(super) config: Map<String, Value>,
    /// Who says so: the end of a sentence.
    pub(super) because: String,
}

/// The recipe of a model that scales pixel values itself: that of Keras's own tutorials, whose images are not scaled before.
const OF_A_MODEL_THAT_SCALES: &str = "image_dataset_from_directory";

/// Decides how images are read.
///
/// # Errors
/// It is not known; tells the choices.
pub(super) fn read(facts: &Facts, choices: &Choices) -> Result<Read, String> {
    let shape = image_shape(facts, choices);
    let channels = shape.as_ref().map_or(3, |shape| shape[2]);
    let recipe = recipe(facts, choices, channels);
    match (shape, recipe) {
        (Ok(shape), Ok((recipe, because))) => {
            let (kind, section) = recipe.config(shape);
            let config = Map::from_iter([
                ("img_preproc_type".to_owned(), json!(kind)),
                ("image_preproc_config".to_owned(), section),
            ]);
            Ok(Read { config, because })
        }
        (shape, recipe) => {
            let open: Vec<String> = recipe.err().into_iter().chain(shape.err()).collect();
            Err(open.join("\n\n"))
        }
    }
}

fn recipe(facts: &Facts, choices: &Choices, channels: usize) -> Result<(&'static Recipe, String), String> {
    let known = |name: &str| Recipe::named(name).ok_or_else(|| format!("there is no recipe `{name}`"));
    if let Some(recipe) = choices.recipe {
        if !recipe.takes(channels) {
            return Err(format!(
                "--recipe {} is for images of 3 channels, but the model takes {channels}",
                recipe.name
            ));
        }
        let also = match &facts.pixels {
            Pixels::From0To255 { scaled_by } => format!("; {scaled_by} in the model as well"),
            Pixels::TeachableMachine | Pixels::Unsaid { .. } => String::new(),
        };
        return Ok((recipe, format!("as --recipe {} says{also}", recipe.name)));
    }
    match &facts.pixels {
        Pixels::From0To255 { scaled_by } => {
            Ok((known(OF_A_MODEL_THAT_SCALES)?, format!("as {scaled_by} in the model")))
        }
        Pixels::TeachableMachine => {
            Ok((known("teachable_machine")?, "as in the sample code of Teachable Machine".to_owned()))
        }
        Pixels::Unsaid { scaled_by } => Err(refusal(facts, scaled_by.as_deref(), channels)),
    }
}

/// The choices, one flag each, with the training code that it answers to.
fn refusal(facts: &Facts, scaled_by: Option<&str>, channels: usize) -> String {
    let fact = match (scaled_by, &facts.ending) {
        (Some(scaled_by), _) => format!("{scaled_by} in the model, and does not take values from 0 to 255"),
        (None, Some(_)) => "nothing in the model scales pixel values".to_owned(),
        (None, None) => "a SavedModel is a graph, which does not tell".to_owned(),
    };
    let recipes: Vec<&Recipe> = Recipe::all().iter().filter(|recipe| recipe.takes(channels)).collect();
    let width = recipes.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
    let flags: Vec<String> = recipes
        .iter()
        .map(|recipe| format!("  --recipe {:<width$}  {}", recipe.name, recipe.training))
        .collect();
    format!(
        "how were its images read in training? {fact}. Choose the flag that answers to your training code:\n{}",
        flags.join("\n")
    )
}

/// Height, width and channels of the images.
fn image_shape(facts: &Facts, choices: &Choices) -> Result<[usize; 3], String> {
    let (height, width, channels) = match facts.input[..] {
        [height, width, Some(channels @ (1 | 3))] => (height, width, channels),
        [Some(channels @ (1 | 3)), height, width] => (height, width, channels),
        [height, width] => (height, width, 1),
        [Some(values)] => return flat(values, choices.size),
        _ => {
            return Err(format!("it takes {}, expected images of 1 or 3 channels", described(&facts.input)));
        }
    };
    let own = facts.stretched_to.map_or([height, width], |size| size.map(Some));
    let given = choices.size.map_or(own, |size| size.map(Some));
    match given {
        [Some(tall), Some(wide)]
            if [height, width]
                .iter()
                .zip([tall, wide])
                .all(|(own, given)| own.is_none_or(|own| own == given)) =>
        {
            Ok([tall, wide, channels])
        }
        [Some(tall), Some(wide)] => {
            Err(format!("--size is {tall}x{wide}, but the model takes {}", described(&facts.input)))
        }
        _ => Err(format!(
            "how large were the images? The model takes any size, {}. Say height and width:\n  --size 224x224",
            described(&facts.input)
        )),
    }
}

/// The image of as many values in a row: a square, if no size is given.
fn flat(values: usize, size: Option<[usize; 2]>) -> Result<[usize; 3], String> {
    let fits = |[height, width]: [usize; 2]| {
        [1, 3]
            .into_iter()
            .find(|channels| height.checked_mul(width).and_then(|n| n.checked_mul(*channels)) == Some(values))
            .map(|channels| [height, width, channels])
    };
    let found = match size {
        Some(size) => fits(size),
        None => [values, values / 3].into_iter().find_map(|pixels| fits([pixels.isqrt(); 2])),
    };
    found.ok_or_else(|| {
        format!(
            "how large were the images? The model takes {values} values in a row. Say height and width of an image of as \
             many:\n  --size 28x28"
        )
    })
}

fn described(sizes: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        sizes.iter().map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use keras::reading::Ending;

    use super::*;

    fn shape(
        input: &[Option<usize>],
        stretched_to: Option<[usize; 2]>,
        size: Option<[usize; 2]>,
    ) -> Result<[usize; 3], String> {
        let facts = Facts {
            input: input.to_vec(),
            stretched_to,
            pixels: Pixels::Unsaid { scaled_by: None },
            ending: Some(Ending::Softmax),
            scores: None,
            output: None,
            written_by: None,
        };
        image_shape(&facts, &Choices { size, ..Choices::default() })
    }

    #[test]
    fn the_image_of_each_form_of_input_is_known_or_asked_for() {
        let any = None;
        for (input, stretched_to, size, expected) in [
            (&[Some(224), Some(160), Some(3)][..], None, None, Some([224, 160, 3])),
            (&[Some(28), Some(28), Some(1)], None, None, Some([28, 28, 1])),
            (&[Some(28), Some(20)], None, None, Some([28, 20, 1])),
            (&[Some(3), Some(10), Some(12)], None, None, Some([10, 12, 3])),
            (&[Some(784)], None, None, Some([28, 28, 1])),
            (&[Some(3072)], None, None, Some([32, 32, 3])),
            (&[Some(120)], None, None, None),
            (&[Some(120)], None, Some([10, 12]), Some([10, 12, 1])),
            (&[Some(360)], None, Some([10, 12]), Some([10, 12, 3])),
            (&[Some(120)], None, Some([10, 10]), None),
            (&[any, any, Some(3)], None, None, None),
            (&[any, any, Some(3)], None, Some([8, 9]), Some([8, 9, 3])),
            (&[any, any, Some(3)], Some([8, 9]), None, Some([8, 9, 3])),
            (&[Some(8), Some(9), Some(3)], None, Some([9, 9]), None),
            (&[Some(8), Some(9), Some(4)], None, None, None),
            (&[Some(2), Some(8), Some(9), Some(3)], None, None, None),
        ] {
            let found = shape(input, stretched_to, size);
            assert_eq!(found.clone().ok(), expected, "{input:?}: {found:?}");
        }
    }
}
