//! `saved_model.pb`, as far as serving needs it.
//!
//! Field numbers are those of `saved_model.proto`, `meta_graph.proto` and `saver.proto`.

use super::super::protobuf::{Malformed, Parts, Value};
use super::signature::Signature;

/// The tag of the graph for serving.
const SERVE: &str = "serve";

/// The signature of this name, or a collection of one of the others, names the operation that initializes tables.
const INIT: &str = "__saved_model_init_op";
const INIT_LISTS: [&str; 2] = ["saved_model_main_op", "legacy_init_op"];

/// Most signatures, and most assets.
const MAX_ENTRIES: usize = 1000;

/// A `MetaGraphDef`: one graph of a SavedModel with its signatures.
#[derive(Debug, Default)]
pub(super) struct MetaGraph<'a> {
    /// The version of TensorFlow that wrote it.
    pub(super) tensorflow_version: Option<&'a str>,
    /// The `GraphDef`, not parsed.
    pub(super) graph: Parts<'a>,
    /// The signatures, except TensorFlow's own.
    pub(super) signatures: Vec<Signature>,
    pub(super) saver: Option<Saver<'a>>,
    /// The operation that initializes tables.
    pub(super) init: Option<&'a str>,
    pub(super) assets: Vec<Asset<'a>>,
}

/// How variables are restored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saver<'a> {
    /// The tensor that is fed the path.
    pub(super) path: &'a str,
    /// The operation that restores them.
    pub(super) restore: &'a str,
}

/// An asset: a file of the folder `assets` that the graph reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asset<'a> {
    /// The tensor that is fed its path.
    pub(super) path: &'a str,
    pub(super) file: &'a str,
}

impl<'a> MetaGraph<'a> {
    /// Finds the graph for serving.
    ///
    /// # Errors
    /// There is none, or the bytes are no SavedModel.
    pub(super) fn for_serving(bytes: &'a [u8]) -> Result<Self, String> {
        let damaged = |_| "`saved_model.pb` is damaged, cut off or no SavedModel".to_owned();
        let mut found = Vec::new();
        for graph in Parts::of(bytes).repeated(2) {
            let graph = Parts::of(graph.map_err(damaged)?);
            let tags = tags(&graph).map_err(damaged)?;
            if tags == [SERVE] {
                return Self::read(&graph).map_err(damaged);
            }
            found.push(format!("`{}`", tags.join(", ")));
            if found.len() == MAX_ENTRIES {
                break;
            }
        }
        let found = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
        Err(format!("`saved_model.pb` has graphs with the tags {found}, expected one with `{SERVE}`"))
    }

    fn read(message: &Parts<'a>) -> Result<Self, Malformed> {
        let mut meta = Self {
            tensorflow_version: message.message(1)?.text(5)?,
            graph: message.message(2)?,
            saver: Saver::read(&message.message(3)?)?,
            ..Self::default()
        };
        let mut init_from_list = None;
        for field in message.fields() {
            match field? {
                (4, entry) => init_from_list = init_list(&Parts::of(entry.bytes()?))?.or(init_from_list),
                (5, entry) => {
                    let (name, signature) = Parts::of(entry.bytes()?).entry()?;
                    if name == INIT {
                        meta.init = init_of_signature(&signature)?;
                    } else if !name.starts_with("__saved_model") {
                        // The last of several entries of a name counts.
                        meta.signatures.retain(|before| before.name != name);
                        meta.signatures.push(Signature::read(name, &signature)?);
                    }
                }
                (6, asset) => meta.assets.extend(Asset::read(&Parts::of(asset.bytes()?))?),
                _ => {}
            }
            if meta.signatures.len().max(meta.assets.len()) > MAX_ENTRIES {
                return Err(Malformed);
            }
        }
        meta.init = meta.init.or(init_from_list);
        Ok(meta)
    }
}

impl<'a> Saver<'a> {
    fn read(message: &Parts<'a>) -> Result<Option<Self>, Malformed> {
        Ok(message.text(1)?.zip(message.text(3)?).map(|(path, restore)| Self { path, restore }))
    }
}

impl<'a> Asset<'a> {
    fn read(message: &Parts<'a>) -> Result<Option<Self>, Malformed> {
        let path = message.message(1)?.text(1)?;
        Ok(path.zip(message.text(2)?).map(|(path, file)| Self { path, file }))
    }
}

fn tags<'a>(meta_graph: &Parts<'a>) -> Result<Vec<&'a str>, Malformed> {
    let mut tags = Vec::new();
    for tag in meta_graph.message(1)?.repeated(4) {
        tags.push(Value::Bytes(tag?).text()?);
        if tags.len() > MAX_ENTRIES {
            return Err(Malformed);
        }
    }
    Ok(tags)
}

/// The operation of a `CollectionDef`, where it is a list of such.
fn init_list<'a>(entry: &Parts<'a>) -> Result<Option<&'a str>, Malformed> {
    let (name, collection) = entry.entry()?;
    if !INIT_LISTS.contains(&name) {
        return Ok(None);
    }
    collection.message(1)?.text(1)
}

fn init_of_signature<'a>(signature: &Parts<'a>) -> Result<Option<&'a str>, Malformed> {
    let Some(output) = signature.repeated(2).last().transpose()? else { return Ok(None) };
    let (_, tensor) = Parts::of(output).entry()?;
    tensor.text(1)
}
