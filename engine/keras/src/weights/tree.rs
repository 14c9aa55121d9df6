//! Finds the weights in an archive's `model.weights.h5`.
//!
//! ```text
//! layers/conv2d/vars/0                         the first weight of the first `Conv2D`
//! layers/conv2d_1/vars/0                       of the second
//! layers/functional/layers/dense/vars/0        within a nested model
//! layers/multi_head_attention/query_dense/vars/0   the first weight of a layer inside a layer
//! ```
//!
//! A layer is found by its class and its index among the layers of that class, never by its name. Newer versions of
//! Keras 3 store the name beside the weights. It then has to be the layer's name.

use std::collections::{BTreeMap, HashMap};

use super::{Bound, fits, has_inert_layer};
use crate::architecture::{Body, LayerSpec, Member, ModelKind, ModelSpec};
use crate::hdf5::{Fault, Folder};
use crate::reader::{Declared, Location};
use crate::shapes::describe;

/// Where a model keeps its layers: as it is now, and as the first versions wrote it.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// The separators of paths. Keras on Windows used a backslash.
const SEPARATORS: [&str; 2] = ["/", "\\"];

/// Finds the arrays of all weights that `declared` lists; see [`super::bind`].
pub(super) fn bind(
    root: &ModelSpec,
    declared: &[Option<Vec<Declared>>],
    file: &Folder,
    bound: &mut Bound,
) -> Result<(), Fault> {
    Tree { declared, file, bound }.model(root, "", "")
}

/// A path in the file, and its separator.
#[derive(Default)]
struct Part {
    path: String,
    separator: &'static str,
}

struct Tree<'a> {
    declared: &'a [Option<Vec<Declared>>],
    file: &'a Folder,
    bound: &'a mut Bound,
}

impl Tree<'_> {
    /// `path` is the model's path among the layers, `folder` the folder of its weights in the file. Both are empty for the
    /// outermost model.
    fn model(&mut self, model: &ModelSpec, path: &str, folder: &str) -> Result<(), Fault> {
        let mut members = numbered(model);
        let layers = self.layers_folder(&members, folder)?;
        self.renumber(&mut members, &layers.path)?;
        for (member, name) in &members {
            let path = format!("{path}{}", member.name);
            let folder = Part { path: format!("{}{name}", layers.path), separator: layers.separator };
            match &member.body {
                Body::Model(inner) => self.model(inner, &format!("{path}/"), &folder.path)?,
                Body::Layer(layer) => self.layer(member, layer, &path, &folder)?,
            }
        }
        self.check_for_strangers(model, &members, &layers.path)
    }

    /// The first versions put layers that have weights into a list twice, and numbered its entries: the second `Conv2D`
    /// is `conv2d_2` there, the second `MaxPooling2D`, which has none, `max_pooling2d_1`. So where a class has as many
    /// folders as layers up to twice their number, they belong to these in order.
    fn renumber(&self, members: &mut [(&Member, String)], layers: &str) -> Result<(), Fault> {
        let mut of_class: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (member, _)) in members.iter().enumerate() {
            of_class.entry(snake_case(class_of(member))).or_default().push(index);
        }
        for (class, indices) in of_class.into_iter().filter(|(_, indices)| indices.len() > 1) {
            if self.file.has_folder(&format!("{layers}{}", members[indices[1]].1))? {
                continue;
            }
            let mut there = vec![class.clone()];
            for number in 2..2 * indices.len() {
                let name = format!("{class}_{number}");
                if self.file.has_folder(&format!("{layers}{name}"))? {
                    there.push(name);
                }
            }
            if there.len() == indices.len() {
                indices.into_iter().zip(there).for_each(|(index, name)| members[index].1 = name);
            }
        }
        Ok(())
    }

    /// The path of this model's layers, up to a layer's own part.
    fn layers_folder(&self, members: &[(&Member, String)], folder: &str) -> Result<Part, Fault> {
        let mut usual = None;
        for separator in SEPARATORS {
            let outer = if folder.is_empty() { String::new() } else { format!("{folder}{separator}") };
            for container in CONTAINERS {
                let layers = Part { path: format!("{outer}{container}{separator}"), separator };
                for (_, name) in members {
                    if self.file.has_folder(&format!("{}{name}", layers.path))? {
                        return Ok(layers);
                    }
                }
                usual.get_or_insert(layers);
            }
        }
        // A model without any layer has nothing to look for.
        Ok(usual.unwrap_or_default())
    }

    fn layer(&mut self, member: &Member, layer: &LayerSpec, path: &str, folder: &Part) -> Result<(), Fault> {
        let all = self.declared;
        let Some(declared) = all[layer.id].as_ref() else { return Ok(()) };
        let who = format!("layer `{path}` (`{}`)", layer.class);
        let variables = format!("{}/vars", folder.path);
        let found = self.file.folder(&variables)?;
        let noted = found.as_ref().map(|folder| folder.text("name")).transpose()?.flatten();
        if let Some(noted) = noted.filter(|name| *name != member.name && !declared.is_empty()) {
            self.bound.problems.push(format!("{who}: `{variables}` holds the weights of `{noted}`"));
            return Ok(());
        }
        // The folder of the layer's own weights is checked even where it has none, for the file may have one too many.
        let mut locations = vec![Location::Within(Vec::new())];
        for weight in declared {
            if !locations.contains(&weight.location) {
                locations.push(weight.location.clone());
            }
        }
        let has_unneeded_ones = locations.contains(&Location::AmongUnneeded);
        for location in locations {
            let Location::Within(folders) = &location else { continue };
            let here: Vec<usize> =
                (0..declared.len()).filter(|&index| declared[index].location == location).collect();
            let inner = self.inner_folder(folder, folders)?;
            let one_more = self.weights(layer.id, &who, &here, &format!("{inner}/vars"))?;
            let counts = !(has_inert_layer(member) || has_unneeded_ones && folders.is_empty());
            if let Some(count) = one_more.filter(|_| counts) {
                self.bound.problems.push(format!(
                    "{who}: the file has a weight at `{inner}/vars/{count}`, which the layer does not have"
                ));
            }
        }
        Ok(())
    }

    /// The folder of a layer inside the layer at `folder`.
    fn inner_folder(&self, folder: &Part, folders: &[&[&str]]) -> Result<String, Fault> {
        let (mut inner, separator) = (folder.path.clone(), folder.separator);
        for names in folders {
            let mut found = None;
            for name in *names {
                let candidate = format!("{inner}{separator}{name}");
                if found.is_none() && self.file.has_folder(&candidate)? {
                    found = Some(candidate);
                }
            }
            inner = found.unwrap_or_else(|| format!("{inner}{separator}{}", names[0]));
        }
        Ok(inner)
    }

    /// Finds the weights `indices` of a layer in one folder. Returns their number if the folder has one more.
    fn weights(
        &mut self,
        layer: usize,
        who: &str,
        indices: &[usize],
        variables: &str,
    ) -> Result<Option<usize>, Fault> {
        let all = self.declared;
        let Some(declared) = all[layer].as_ref() else { return Ok(None) };
        let found = self.file.folder(variables)?;
        // Weights that training changes come first, each kind in the order in which they were made.
        let mut order = indices.to_vec();
        order.sort_by_key(|&index| !declared[index].trainable);
        for (number, &index) in order.iter().enumerate() {
            let weight = &declared[index];
            let array = found.as_ref().map(|folder| folder.array(&number.to_string())).transpose()?.flatten();
            match array {
                None if !weight.wanted => {}
                None => self.bound.problems.push(format!(
                    "{who}: the file has no weight `{}` at `{variables}/{number}`, expected one of shape {}",
                    weight.role(),
                    describe(&weight.shape)
                )),
                Some(array) if !fits(array.shape(), weight) => self.bound.problems.push(format!(
                    "{who}: `{}` has shape {:?}, expected {}",
                    weight.role(),
                    array.shape(),
                    describe(&weight.shape)
                )),
                Some(array) if weight.wanted => self.bound.arrays[layer][index] = Some(array),
                Some(_) => {}
            }
        }
        let one_more = match found {
            Some(folder) => folder.array(&order.len().to_string())?.is_some(),
            None => false,
        };
        Ok(one_more.then_some(order.len()))
    }

    /// Reports weights of layers that the model does not have.
    fn check_for_strangers(
        &mut self,
        model: &ModelSpec,
        members: &[(&Member, String)],
        layers: &str,
    ) -> Result<(), Fault> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for (member, _) in members {
            *counts.entry(snake_case(class_of(member))).or_insert(0) += 1;
        }
        let taken = |name: &String| members.iter().any(|(_, taken)| taken == name);
        let next = counts.iter().map(|(name, count)| format!("{name}_{count}")).filter(|name| !taken(name));
        let mut strangers: Vec<String> = next.map(|name| format!("{layers}{name}")).collect();
        strangers.sort_unstable();
        for stranger in strangers {
            if self.file.has_folder(&stranger)? {
                self.bound.problems.push(format!(
                    "the file has weights at `{stranger}`, which is not a layer of the model `{}`",
                    model.name
                ));
            }
        }
        Ok(())
    }
}

/// The members that are stored in the file, with their names there.
fn numbered(model: &ModelSpec) -> Vec<(&Member, String)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut named = Vec::new();
    for member in &model.members {
        // A `Sequential` does not store its input among its layers, and no model stores operations of Keras 3.
        let is_hidden = model.kind == ModelKind::Sequential && class_of(member) == "InputLayer";
        if is_hidden || class_of(member).starts_with("ops.") {
            continue;
        }
        let name = snake_case(class_of(member));
        let count = counts.entry(name.clone()).or_insert(0);
        named.push((member, if *count == 0 { name } else { format!("{name}_{count}") }));
        *count += 1;
    }
    named
}

/// The class without its package.
fn class_of(member: &Member) -> &str {
    let class = member.class();
    match class.rsplit_once('>') {
        Some((_, class)) => class,
        // Its public name is not that of its class.
        None if class == "GroupQueryAttention" => "GroupedQueryAttention",
        None if class.starts_with("tf.__operators__.getitem") => "SlicingOpLambda",
        None if class.starts_with("tf.") => "TFOpLambda",
        None => class,
    }
}

/// `BatchNormalization` becomes `batch_normalization`, `Conv2DTranspose` `conv2d_transpose`, `PReLU` `p_re_lu`:
/// an underscore before a capital that lower letters follow, then one between a lower letter and a capital.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut words = String::new();
    let mut index = 0;
    while index < letters.len() {
        words.push(letters[index]);
        index += 1;
        if letters.get(index).is_some_and(char::is_ascii_uppercase)
            && letters.get(index + 1).is_some_and(char::is_ascii_lowercase)
        {
            words.push('_');
            words.push(letters[index]);
            index += 1;
            while let Some(letter) = letters.get(index).filter(|letter| letter.is_ascii_lowercase()) {
                words.push(*letter);
                index += 1;
            }
        }
    }
    let mut name = String::new();
    let mut before = ' ';
    for letter in words.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        before = letter;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_get_the_names_that_keras_gives_them() {
        // `to_snake_case` of `keras.src.utils.naming` says so, and of Keras 2's `generic_utils`.
        for (class, expected) in [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
            ("PReLU", "p_re_lu"),
            ("ReLU", "re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("ELU", "elu"),
            ("TFOpLambda", "tf_op_lambda"),
            ("SlicingOpLambda", "slicing_op_lambda"),
            ("GlobalAveragePooling2D", "global_average_pooling2d"),
            ("BatchNormalizationV1", "batch_normalization_v1"),
        ] {
            assert_eq!(snake_case(class), expected);
        }
    }
}
