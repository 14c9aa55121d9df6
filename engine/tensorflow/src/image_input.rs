//! Adapts models whose input differs from the images that the pipeline delivers: it lacks the channel axis, is flattened,
//! or has the channels first. Such a model gets images as its input, and one more layer that reshapes or transposes them.

use super::graph::show;
use keras::layers::Layer;
use keras::{Model, Node};

/// Returns the model with images of this shape, `[height, width, channels]`, as its input. Where its own input does not
/// fit them, returns the model as it is, and the reason.
pub(super) fn with_image_input(model: Model, image: [usize; 3]) -> (Model, Option<String>) {
    let Some((Layer::Input { shape }, name)) =
        model.nodes.get(model.input).map(|node| (&node.layer, &node.name))
    else {
        return (model, Some("the model has no input layer".to_owned()));
    };
    match from_image(shape, image) {
        Some(Layer::Identity) => (model, None),
        Some(layer) => (with_first_layer(model, image, layer), None),
        None => {
            let problem = misfit(shape, name, image);
            (model, Some(problem))
        }
    }
}

/// The layer that converts an image to an input of this shape; `None` where there is none.
fn from_image(shape: &[Option<usize>], image: [usize; 3]) -> Option<Layer> {
    let [height, width, channels] = image;
    let fits = |sizes: &[usize]| {
        shape.len() == sizes.len()
            && shape.iter().zip(sizes).all(|(size, given)| size.is_none_or(|size| size == *given))
    };
    let signed = |size: usize| i64::try_from(size).ok();
    if fits(&image) {
        Some(Layer::Identity)
    } else if fits(&[channels, height, width]) {
        Some(Layer::Permute { axes: vec![3, 1, 2] })
    } else if channels == 1 && fits(&[height, width]) {
        Some(Layer::Reshape { target: vec![signed(height)?, signed(width)?] })
    } else if fits(&[height.checked_mul(width)?.checked_mul(channels)?]) {
        Some(Layer::Flatten)
    } else {
        None
    }
}

fn misfit(shape: &[Option<usize>], name: &str, image: [usize; 3]) -> String {
    let says = format!(
        "`image_preproc_config.input_shape` is {image:?}, but the model's input `{name}` has shape {}",
        show(shape)
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

/// The model with an image as its input, and `layer` between the image and the model.
fn with_first_layer(model: Model, image: [usize; 3], layer: Layer) -> Model {
    let Model { mut nodes, input, outputs, mut summary, .. } = model;
    // Inputs come before their users, so the new node comes right after the input.
    let moved = |node: usize| if node < input { node } else { node + 1 };
    for node in &mut nodes {
        node.inputs.iter_mut().for_each(|read| *read = moved(*read));
    }
    for row in summary.iter_mut().filter(|row| row.node > input) {
        row.node += 1;
    }
    let (name, class) = (format!("{}:image", nodes[input].name), nodes[input].class.clone());
    nodes[input].layer = Layer::Input { shape: image.map(Some).to_vec() };
    nodes.insert(input + 1, Node { name, class, layer, inputs: vec![input] });
    Model { nodes, outputs: outputs.into_iter().map(moved).collect(), summary, ..model }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_what_the_model_takes() {
        let check = |shape: &[usize], image, expected: Option<&str>| {
            let shape: Vec<_> = shape.iter().map(|size| (*size > 0).then_some(*size)).collect();
            let found = from_image(&shape, image).map(|layer| format!("{layer:?}"));
            assert_eq!(found.as_deref(), expected, "{shape:?} {image:?}");
        };
        check(&[28, 20, 3], [28, 20, 3], Some("Identity"));
        check(&[0, 0, 3], [28, 20, 3], Some("Identity"));
        check(&[3, 28, 20], [28, 20, 3], Some("Permute { axes: [3, 1, 2] }"));
        check(&[3, 0, 0], [28, 20, 3], Some("Permute { axes: [3, 1, 2] }"));
        check(&[28, 20], [28, 20, 1], Some("Reshape { target: [28, 20] }"));
        check(&[28, 20], [28, 20, 3], None);
        check(&[560], [28, 20, 1], Some("Flatten"));
        check(&[1680], [28, 20, 3], Some("Flatten"));
        check(&[784], [28, 20, 1], None);
        check(&[20, 28, 3], [28, 20, 3], None);
    }

    #[test]
    fn a_layer_behind_the_input_moves_all_that_come_after_it() {
        let node = |layer, inputs: &[usize]| Node {
            name: "n".to_owned(),
            class: String::new(),
            layer,
            inputs: inputs.to_vec(),
        };
        let constant = node(Layer::Identity, &[]);
        let nodes = vec![
            constant,
            node(Layer::Input { shape: vec![Some(4)] }, &[]),
            node(Layer::Identity, &[1, 0]),
            node(Layer::Identity, &[2, 1]),
        ];
        let model = Model {
            name: String::new(),
            nodes,
            input: 1,
            outputs: vec![3],
            output_names: Vec::new(),
            summary: Vec::new(),
        };
        let (adapted, problem) = with_image_input(model, [2, 2, 1]);
        assert_eq!(problem, None);
        let inputs: Vec<&[usize]> = adapted.nodes.iter().map(|node| &node.inputs[..]).collect();
        assert_eq!(inputs, [&[][..], &[], &[1], &[2, 0], &[3, 2]]);
        assert!(matches!(adapted.nodes[2].layer, Layer::Flatten));
        assert_eq!((adapted.input, &adapted.outputs[..]), (1, &[4][..]));
    }
}
