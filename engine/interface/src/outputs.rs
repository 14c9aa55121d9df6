//! Chooses the output of a model that holds the scores, and checks its shape, whatever format the model is saved in.

/// Returns the index in `names` of the output of this name, or without a name of the only output.
///
/// # Errors
/// There is no such output, or without a name there are several.
pub fn choose(names: &[&str], wanted: Option<&str>) -> Result<usize, String> {
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

/// Describes how an output's shape, the batch first, does not fit so many labels.
#[must_use]
pub fn misfit(name: &str, shape: &[Option<usize>], labels: usize) -> Option<String> {
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

/// Formats sizes without a batch: `[224, any, 3]`.
#[must_use]
pub fn show(sizes: &[Option<usize>]) -> String {
    let sizes: Vec<String> =
        sizes.iter().map(|size| size.map_or_else(|| "any".to_owned(), |n| n.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}

/// Formats sizes with a batch: `[batch, 10]`.
#[must_use]
pub fn show_batched(shape: &[Option<usize>]) -> String {
    match shape.split_first() {
        Some((None, rest)) if !rest.is_empty() => format!("[batch, {}", &show(rest)[1..]),
        _ => show(shape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_output_fits_as_many_labels_as_it_has_classes() {
        assert_eq!(misfit("scores", &[None, Some(3)], 3), None);
        let check = |shape: &[Option<usize>], expected: &str| {
            assert_eq!(misfit("scores", shape, 3).as_deref(), Some(expected));
        };
        check(&[None, Some(2)], "the model has 2 outputs, but `output_config.output_classes` has 3 labels");
        check(
            &[None, None, Some(3)],
            "the model's output `scores` has shape [batch, any, 3], expected [batch, 3]",
        );
        check(&[None, None], "the model's output `scores` has shape [batch, any], expected [batch, 3]");
    }
}
