//! Finds the weights of each layer in the file: in an archive by class and index, see [`tree`], and in an .hdf5 file by
//! name:
//!
//! ```text
//! model_weights             attribute layer_names: the outermost model's layers
//!   conv                    attribute weight_names: ["conv/kernel:0", "conv/bias:0"]
//!     conv/kernel:0         Keras 3: conv/kernel, or cnn/conv/kernel
//!   block                   a nested model: the weights of all its layers, the trainable ones first
//! ```
//!
//! Keras itself uses only the order. Here names are used where they are unambiguous, else the order. Either way the last
//! part of each name and each shape have to be those that the layer expects.

use std::collections::BTreeSet;

use super::architecture::{Body, Dialect, Member, ModelSpec};
use super::hdf5::{Array, Fault, Folder};
use super::layers::catalog;
use super::reader::Declared;
use super::shapes::describe;

mod tree;

/// Names of states of random generators, which some versions store as weights.
const RANDOM_STATES: [&str; 3] = ["StateVar", "Variable", "seed_generator_state"];

/// The arrays of all layers.
pub(super) struct Bound {
    /// By the layer's id, in the order in which it declares its weights. `None` for a weight that is not needed.
    pub(super) arrays: Vec<Vec<Option<Array>>>,
    /// Faults found.
    pub(super) problems: Vec<String>,
}

/// The part of a file that holds the weights.
pub(super) enum Store {
    /// The root of an .hdf5 file: by the names of layers and weights.
    ByName(Folder),
    /// The root of `model.weights.h5` in an archive: by class and index.
    ByClass(Folder),
}

/// One weight of one layer, before its array is known.
struct Slot<'a> {
    layer: usize,
    index: usize,
    path: String,
    class: &'a str,
    declared: &'a Declared,
}

/// Finds the arrays of all weights in `declared`, which is indexed by the layer's id. It has `None` for layers that could
/// not be read, whose part of the file is skipped.
///
/// # Errors
/// The file cannot be read. Its faults are in [`Bound::problems`].
pub(super) fn bind(
    root: &ModelSpec,
    declared: &[Option<Vec<Declared>>],
    store: &Store,
    dialect: Dialect,
) -> Result<Bound, Fault> {
    let mut arrays = Vec::new();
    for layer in declared {
        arrays.push(layer.iter().flatten().map(|_| None).collect());
    }
    let mut bound = Bound { arrays, problems: Vec::new() };
    let file = match store {
        Store::ByName(file) => file,
        Store::ByClass(file) => {
            tree::bind(root, declared, file, &mut bound)?;
            return Ok(bound);
        }
    };
    let Some(weights) = file.folder("model_weights")? else {
        bound.problems.push("the file has no group `model_weights`, expected a whole model".to_owned());
        return Ok(bound);
    };
    check_for_strangers(root, &weights, &mut bound.problems)?;
    for member in &root.members {
        let Some(slots) = slots_of(member, declared, dialect) else { continue };
        bind_member(member, &slots, &weights, &mut bound)?;
    }
    Ok(bound)
}

/// Reports weights of layers that the model does not have.
fn check_for_strangers(root: &ModelSpec, weights: &Folder, problems: &mut Vec<String>) -> Result<(), Fault> {
    let known: BTreeSet<&str> = root.members.iter().map(|member| member.name.as_str()).collect();
    let listed = weights.texts("layer_names")?.unwrap_or_default();
    let top = "top_level_model_weights".to_owned();
    for name in listed.iter().filter(|name| !known.contains(name.as_str())).chain([&top]) {
        let Some(folder) = weights.folder(name)? else { continue };
        let names = folder.texts("weight_names")?.unwrap_or_default();
        if !names.is_empty() {
            problems.push(format!(
                "the file has the weights `{}` in `{name}`, which is not a layer of the model",
                names.join("`, `")
            ));
        }
    }
    Ok(())
}

fn bind_member(member: &Member, slots: &[Slot], weights: &Folder, bound: &mut Bound) -> Result<(), Fault> {
    let who = format!("layer `{}` (`{}`)", member.name, member.class());
    let folder = weights.folder(&member.name)?;
    let mut names = match &folder {
        Some(folder) => folder.texts("weight_names")?.unwrap_or_default(),
        None => Vec::new(),
    };
    if has_inert_layer(member) {
        names.retain(|name| !RANDOM_STATES.contains(&Name::parse(name).role));
    }
    let assigned = match by_name(member, slots, &names).or_else(|| by_order(slots, &names)) {
        Some(assigned) => assigned,
        None => {
            explain(&who, member, slots, &names, &mut bound.problems);
            return Ok(());
        }
    };
    for (slot, name) in slots.iter().zip(assigned) {
        let (Some(folder), Some(name)) = (&folder, name) else { continue };
        let Slot { path, class, declared, .. } = slot;
        let role = declared.role();
        match folder.array(name)? {
            None => bound.problems.push(format!(
                "layer `{path}` (`{class}`): the file lists its weight `{role}` but does not hold it, expected \
                 shape {}",
                describe(&declared.shape)
            )),
            Some(array) if !fits(array.shape(), declared) => bound.problems.push(format!(
                "layer `{path}` (`{class}`): `{role}` has shape {:?}, expected {}",
                array.shape(),
                describe(&declared.shape)
            )),
            Some(array) if declared.wanted => bound.arrays[slot.layer][slot.index] = Some(array),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Matches weights by the names of layer and weight, where each weight matches exactly one name and no name is left.
fn by_name<'a>(member: &Member, slots: &[Slot], names: &'a [String]) -> Option<Vec<Option<&'a str>>> {
    let mut taken = BTreeSet::new();
    let mut assigned = Vec::new();
    for slot in slots {
        let mut candidates =
            names.iter().enumerate().filter(|(_, name)| Name::parse(name).is_of(slot, member));
        match (candidates.next(), candidates.next()) {
            (Some((index, name)), None) if taken.insert(index) => assigned.push(Some(name.as_str())),
            (None, None) if !slot.declared.wanted => assigned.push(None),
            (_, _) => return None,
        }
    }
    (taken.len() == names.len()).then_some(assigned)
}

/// Matches weights by the order in which Keras saves them.
fn by_order<'a>(slots: &[Slot], names: &'a [String]) -> Option<Vec<Option<&'a str>>> {
    let fits = |(slot, name): (&Slot, &String)| Name::parse(name).has_role(slot.declared);
    let all = slots.len() == names.len() && slots.iter().zip(names).all(fits);
    all.then(|| names.iter().map(|name| Some(name.as_str())).collect())
}

/// Reports why the names in the file do not match the model.
fn explain(who: &str, member: &Member, slots: &[Slot], names: &[String], problems: &mut Vec<String>) {
    let before = problems.len();
    for slot in slots.iter().filter(|slot| slot.declared.wanted) {
        if !names.iter().any(|name| Name::parse(name).is_of(slot, member)) {
            problems.push(format!(
                "layer `{}` (`{}`): the file has no weight `{}`, expected one of shape {}",
                slot.path,
                slot.class,
                slot.declared.role(),
                describe(&slot.declared.shape)
            ));
        }
    }
    for name in names {
        if !slots.iter().any(|slot| Name::parse(name).is_of(slot, member)) {
            let next = if Name::parse(name).role.starts_with("lora_") {
                ": LoRA's weights are apart here; save the model as .keras, which adds them to the others"
            } else {
                ""
            };
            problems
                .push(format!("{who}: the file has a weight `{name}`, which the layer does not have{next}"));
        }
    }
    if problems.len() == before {
        problems.push(format!(
            "{who}: the file has the weights `{}`, expected {} of which each belongs to one layer",
            names.join("`, `"),
            slots.len()
        ));
    }
}

fn fits(found: &[usize], declared: &Declared) -> bool {
    found.len() == declared.shape.len()
        && found
            .iter()
            .zip(&declared.shape)
            .all(|(&found, expected)| expected.is_none_or(|size| size == found))
}

/// The weights of a member in the order in which Keras saves them; `None` where a layer could not be read.
fn slots_of<'a>(
    member: &'a Member,
    declared: &'a [Option<Vec<Declared>>],
    dialect: Dialect,
) -> Option<Vec<Slot<'a>>> {
    match dialect {
        Dialect::Keras2 => {
            let Halves { mut trainable, fixed } = halves(member, "", declared)?;
            trainable.extend(fixed);
            Some(trainable)
        }
        Dialect::Keras3 => {
            let mut all = Vec::new();
            collect(member, "", declared, &mut all)?;
            // The weights of a frozen member stay in order.
            all.sort_by_key(|(_, trainable)| member.trainable && !trainable);
            Some(all.into_iter().map(|(slot, _)| slot).collect())
        }
    }
}

/// Trainable and other weights.
struct Halves<'a> {
    trainable: Vec<Slot<'a>>,
    fixed: Vec<Slot<'a>>,
}

/// Keras 2 lists the trainable weights of all members, then their other weights. All weights of a frozen member are among
/// the others.
fn halves<'a>(member: &'a Member, outer: &str, declared: &'a [Option<Vec<Declared>>]) -> Option<Halves<'a>> {
    let path = format!("{outer}{}", member.name);
    let mut result = Halves { trainable: Vec::new(), fixed: Vec::new() };
    match &member.body {
        Body::Layer(layer) => {
            for (index, weight) in declared[layer.id].as_ref()?.iter().enumerate() {
                let slot = Slot {
                    layer: layer.id,
                    index,
                    path: path.clone(),
                    class: &layer.class,
                    declared: weight,
                };
                let half = if weight.trainable { &mut result.trainable } else { &mut result.fixed };
                half.push(slot);
            }
            if !member.trainable {
                result.trainable.append(&mut result.fixed);
                result.fixed.append(&mut result.trainable);
            }
        }
        Body::Model(model) => {
            for inner in &model.members {
                let Halves { trainable, fixed } = halves(inner, &format!("{path}/"), declared)?;
                let first = if member.trainable { &mut result.trainable } else { &mut result.fixed };
                first.extend(trainable);
                result.fixed.extend(fixed);
            }
        }
    }
    Some(result)
}

/// Keras 3 lists all weights together, each with whether it is trainable.
fn collect<'a>(
    member: &'a Member,
    outer: &str,
    declared: &'a [Option<Vec<Declared>>],
    all: &mut Vec<(Slot<'a>, bool)>,
) -> Option<()> {
    let path = format!("{outer}{}", member.name);
    match &member.body {
        Body::Layer(layer) => {
            for (index, weight) in declared[layer.id].as_ref()?.iter().enumerate() {
                let slot = Slot {
                    layer: layer.id,
                    index,
                    path: path.clone(),
                    class: &layer.class,
                    declared: weight,
                };
                all.push((slot, weight.trainable && member.trainable));
            }
        }
        Body::Model(model) => {
            for inner in &model.members {
                collect(inner, &format!("{path}/"), declared, all)?;
            }
        }
    }
    Some(())
}

fn has_inert_layer(member: &Member) -> bool {
    match &member.body {
        Body::Layer(layer) => catalog::is_inert(&layer.class),
        Body::Model(model) => model.members.iter().any(has_inert_layer),
    }
}

/// A weight's name, `cnn/conv/kernel` or `conv/kernel:0`, in parts.
struct Name<'a> {
    /// The parts before the last one; usually they end with the layer's name.
    owners: Option<&'a str>,
    /// The last part, without the index of an output and without the suffix that makes it unique.
    role: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Self {
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        let (owners, role) =
            name.rsplit_once('/').map_or((None, name), |(owners, role)| (Some(owners), role));
        let unique = role.rsplit_once('_').filter(|(_, number)| number.parse::<u32>().is_ok());
        Self { owners, role: unique.map_or(role, |(role, _)| role) }
    }

    fn has_role(&self, declared: &Declared) -> bool {
        declared.names.contains(&self.role)
    }

    /// Returns whether this is the name of the weight. A layer that has a group of its own may omit its name.
    fn is_of(&self, slot: &Slot, member: &Member) -> bool {
        let layer = slot.path.rsplit_once('/').map_or(slot.path.as_str(), |(_, layer)| layer);
        let alone = matches!(member.body, Body::Layer(_));
        let mut owners = self.owners.into_iter().flat_map(|owners| owners.rsplit('/'));
        self.has_role(slot.declared)
            && slot.declared.owner.is_none_or(|inner| owners.next() == Some(inner))
            && (alone || owners.next() == Some(layer))
    }
}
