//! Chooses the output with the scores, and reduces a model to the layers that it depends on.

use super::graph::show_batched;
use keras::{Model, Node};

/// Returns the index in `names` of the output of this name, or without a name of the only output.
///
/// # Errors
/// There is no such output, or without a name there are several.
pub(super) fn choose(names: &[&str], wanted: Option<&str>) -> Result<usize, String> {
    let listed = || format!("`{}`", names.join("`, `"));
    match (wanted, names) {
        (None, [_]) => Ok(0),
        (None, []) => Err("the model has no output, expected 1 with the scores".to_owned()),
        (None, _) => Err(format!(
            "the model has {} outputs ({}), expected 1 with the scores, or its name in \
             `output_config.output_name`",
            names.len(),
            listed()
        )),
        (Some(wanted), _) => names.iter().position(|name| *name == wanted).ok_or_else(|| {
            let are = if names.len() == 1 { "output is" } else { "outputs are" };
            format!("`output_config.output_name` is `{wanted}`, but the model's {are} {}", listed())
        }),
    }
}

/// Describes how an output's shape does not fit so many labels.
pub(super) fn misfit(name: &str, shape: &[Option<usize>], labels: usize) -> Option<String> {
    match shape {
        [_, Some(outputs)] if *outputs == labels => None,
        [_, Some(outputs)] => Some(format!(
            "the model has {outputs} outputs, but `output_config.output_classes` has {labels} labels"
        )),
        _ => Some(format!(
            "the model's output `{name}` has shape {}, expected [batch, {labels}]",
            show_batched(shape)
        )),
    }
}

/// Reduces the model to this node as its only output, and to the layers that the node depends on. Drops the summary, which
/// describes the whole model.
pub(super) fn only(model: Model, output: usize) -> Model {
    let mut needed = vec![false; model.nodes.len()];
    for end in [output, model.input] {
        needed[end] = true;
    }
    // Inputs come before their users.
    for (index, node) in model.nodes.iter().enumerate().rev() {
        if needed[index] {
            node.inputs.iter().for_each(|input| needed[*input] = true);
        }
    }
    let indices: Vec<usize> = needed
        .iter()
        .scan(0, |next, needed| {
            let index = *next;
            *next += usize::from(*needed);
            Some(index)
        })
        .collect();
    let moved = |(node, _): (Node, &bool)| Node {
        inputs: node.inputs.iter().map(|input| indices[*input]).collect(),
        ..node
    };
    Model {
        nodes: model.nodes.into_iter().zip(&needed).filter(|(_, needed)| **needed).map(moved).collect(),
        input: indices[model.input],
        outputs: vec![indices[output]],
        output_names: Vec::new(),
        summary: Vec::new(),
        name: model.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keras::layers::Layer;

    #[test]
    fn an_output_is_chosen_by_its_name_and_an_only_one_without() {
        assert_eq!(choose(&["a"], None), Ok(0));
        assert_eq!(choose(&["a", "b"], Some("b")), Ok(1));
        let several = choose(&["a", "b"], None).unwrap_err();
        assert!(several.contains("2 outputs (`a`, `b`)") && several.contains("output_name"), "{several}");
        assert_eq!(
            choose(&["a", "b"], Some("c")).unwrap_err(),
            "`output_config.output_name` is `c`, but the model's outputs are `a`, `b`"
        );
        assert!(choose(&["a"], Some("c")).unwrap_err().ends_with("the model's output is `a`"));
        assert!(choose(&[], None).unwrap_err().contains("no output"));
    }

    #[test]
    fn layers_that_feed_other_outputs_alone_are_left_out() {
        let node = |name: &str, inputs: &[usize]| Node {
            name: name.to_owned(),
            class: String::new(),
            layer: Layer::Identity,
            inputs: inputs.to_vec(),
        };
        let nodes = vec![
            node("image", &[]),
            node("colour_1", &[0]),
            node("shared", &[0]),
            node("colour", &[1, 2]),
            node("animal", &[2, 0]),
        ];
        let (outputs, output_names) = (vec![3, 4], vec!["colour".to_owned(), "animal".to_owned()]);
        let whole =
            Model { name: String::new(), nodes, input: 0, outputs, output_names, summary: Vec::new() };
        let model = only(whole, 4);
        let left: Vec<_> = model.nodes.iter().map(|node| (node.name.as_str(), &node.inputs[..])).collect();
        assert_eq!(left, [("image", &[][..]), ("shared", &[0]), ("animal", &[1, 0])]);
        assert_eq!((model.input, &model.outputs[..]), (0, &[2][..]));
    }
}
