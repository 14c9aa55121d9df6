//! Adapts images to models whose input differs from them: it lacks the channel axis, is flattened, or has the channels first.
//! The graph's input is an image nevertheless, which is reshaped or transposed first.

use model::{Builder, Fault, Shape, Size, Value};

use crate::Model;
use crate::layers::Layer;

/// How an image becomes the input of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adaptation {
    /// It is the input.
    None,
    ChannelsFirst,
    /// `[height, width]`
    WithoutChannels,
    Flat,
}

/// Checks that images of this shape can be the model's input.
///
/// # Errors
/// They cannot; says why.
pub(super) fn check(model: &Model, image: [usize; 3]) -> Result<(), String> {
    let node = model.nodes.get(model.input);
    let Some((Layer::Input { shape }, name)) = node.map(|node| (&node.layer, &node.name)) else {
        return Err("the model has no input layer".to_owned());
    };
    if image.contains(&0) {
        return Err(format!("an image of shape {image:?} is empty"));
    }
    match of(shape, image) {
        Some(_) => Ok(()),
        None => Err(misfit(shape, name, image)),
    }
}

/// Adds the images and what makes an input of this shape of them. Where they do not fit, which [`check`] tells, the images are
/// the input.
pub(super) fn add(
    builder: &mut Builder,
    name: &str,
    shape: &[Option<usize>],
    image: [usize; 3],
) -> Result<Value, Fault> {
    let images = builder.input(Shape::batched(image))?;
    builder.begin(&format!("{name}:image"));
    match of(shape, image) {
        Some(Adaptation::None) | None => Ok(images),
        Some(Adaptation::ChannelsFirst) => builder.transpose(images, &[0, 3, 1, 2]),
        Some(Adaptation::WithoutChannels) => {
            let sizes = image[..2].iter().copied().map(Size::Known);
            builder.reshape(images, Shape::batched(sizes))
        }
        Some(Adaptation::Flat) => builder.flatten(images),
    }
}

/// How an image becomes an input of this shape; `None` where it cannot.
fn of(shape: &[Option<usize>], image: [usize; 3]) -> Option<Adaptation> {
    let [height, width, channels] = image;
    let fits = |sizes: &[usize]| {
        shape.len() == sizes.len()
            && shape.iter().zip(sizes).all(|(size, given)| size.is_none_or(|size| size == *given))
    };
    if fits(&image) {
        Some(Adaptation::None)
    } else if fits(&[channels, height, width]) {
        Some(Adaptation::ChannelsFirst)
    } else if channels == 1 && fits(&[height, width]) {
        Some(Adaptation::WithoutChannels)
    } else if fits(&[height.checked_mul(width)?.checked_mul(channels)?]) {
        Some(Adaptation::Flat)
    } else {
        None
    }
}

fn misfit(shape: &[Option<usize>], name: &str, image: [usize; 3]) -> String {
    let sizes: Vec<String> =
        shape.iter().map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string())).collect();
    let says = format!(
        "`image_preproc_config.input_shape` is {image:?}, but the model's input `{name}` has shape [{}]",
        sizes.join(", ")
    );
    match shape {
        [_, _] if image[2] != 1 => format!("{says}, which takes grey images, such as [28, 28, 1]"),
        [Some(values)] => {
            format!(
                "{says}: expected [height, width, channels] of an image of {values} values, which it gets in a row"
            )
        }
        _ => says,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;

    #[test]
    fn images_become_what_the_model_takes() {
        let check = |shape: &[usize], image, expected: Option<Adaptation>| {
            let shape: Vec<_> = shape.iter().map(|size| (*size > 0).then_some(*size)).collect();
            assert_eq!(of(&shape, image), expected, "{shape:?} {image:?}");
        };
        check(&[28, 20, 3], [28, 20, 3], Some(Adaptation::None));
        check(&[0, 0, 3], [28, 20, 3], Some(Adaptation::None));
        check(&[3, 28, 20], [28, 20, 3], Some(Adaptation::ChannelsFirst));
        check(&[3, 0, 0], [28, 20, 3], Some(Adaptation::ChannelsFirst));
        check(&[28, 20], [28, 20, 1], Some(Adaptation::WithoutChannels));
        check(&[28, 20], [28, 20, 3], None);
        check(&[560], [28, 20, 1], Some(Adaptation::Flat));
        check(&[1680], [28, 20, 3], Some(Adaptation::Flat));
        check(&[784], [28, 20, 1], None);
        check(&[20, 28, 3], [28, 20, 3], None);
    }

    /// A model that gives what it takes, and a constant before that.
    fn model(shape: &[Option<usize>]) -> Model {
        let node = |name: &str, layer, inputs: &[usize]| Node {
            name: name.to_owned(),
            class: "Class".to_owned(),
            layer,
            inputs: inputs.to_vec(),
        };
        let constant = crate::Tensor::new(&[1, 1], [2.0]);
        Model {
            name: String::new(),
            nodes: vec![
                node("constant", Layer::Constant(constant), &[]),
                node("in", Layer::Input { shape: shape.to_vec() }, &[]),
                node("same", Layer::Identity, &[1]),
            ],
            input: 1,
            outputs: vec![2],
            output_names: Vec::new(),
            summary: Vec::new(),
        }
    }

    #[test]
    fn the_graphs_input_is_an_image_and_what_follows_is_the_models() {
        let check = |shape: &[Option<usize>], image, expected: &str| {
            let graph = model(shape).graph(Some(image)).unwrap();
            let text = graph.to_string();
            let lines: Vec<&str> = text.lines().skip(1).collect();
            assert_eq!(lines, expected.trim().lines().map(str::trim).collect::<Vec<_>>(), "{shape:?}");
        };
        check(
            &[None, Some(4), Some(3)],
            [2, 4, 3],
            "%1 = input() : [batch, 2, 4, 3] // in
             outputs %1",
        );
        check(
            &[Some(3), None, None],
            [2, 4, 3],
            "%1 = input() : [batch, 2, 4, 3] // in
             %2 = transpose(%1, order [0, 3, 1, 2]) : [batch, 3, 2, 4] // in:image
             outputs %2",
        );
        check(
            &[Some(2), Some(4)],
            [2, 4, 1],
            "%1 = input() : [batch, 2, 4, 1] // in
             %2 = reshape(%1) : [batch, 2, 4] // in:image
             outputs %2",
        );
        check(
            &[Some(24)],
            [2, 4, 3],
            "%1 = input() : [batch, 2, 4, 3] // in
             %2 = reshape(%1) : [batch, 24] // in:image
             outputs %2",
        );
    }

    #[test]
    fn images_that_do_not_fit_are_the_only_problem() {
        let check = |shape: &[Option<usize>], image, expected: &str| {
            assert_eq!(model(shape).graph(Some(image)).unwrap_err(), [expected]);
        };
        check(
            &[Some(28), Some(28)],
            [28, 28, 3],
            "`image_preproc_config.input_shape` is [28, 28, 3], but the model's input `in` has shape [28, 28], which takes \
             grey images, such as [28, 28, 1]",
        );
        check(
            &[Some(784)],
            [28, 20, 1],
            "`image_preproc_config.input_shape` is [28, 20, 1], but the model's input `in` has shape [784]: expected \
             [height, width, channels] of an image of 784 values, which it gets in a row",
        );
        check(
            &[None, Some(4), Some(3)],
            [4, 5, 3],
            "`image_preproc_config.input_shape` is [4, 5, 3], but the model's input `in` has shape [any, 4, 3]",
        );
        check(&[None, None, Some(3)], [4, 0, 3], "an image of shape [4, 0, 3] is empty");
    }
}
