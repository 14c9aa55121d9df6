//! `saved_model.pb`, as far as serving needs it.
//!
//! Field numbers are those of `saved_model.proto`, `meta_graph.proto` and `saver.proto`.

use super::super::protobuf::{Fields, Malformed, Value};
use super::signature::Signature;

/// The tag of the graph that is meant for serving.
const SERVE: &str = "serve";

/// A signature of this name, or a list of operations of one of the others, names what gets tables ready.
const INIT: &str = "__saved_model_init_op";
const INIT_LISTS: [&str; 2] = ["saved_model_main_op", "legacy_init_op"];

/// Most signatures, and most files that a graph names.
const MAX_ENTRIES: usize = 1000;

/// One graph of a SavedModel, with what is known of it.
#[derive(Debug, Default)]
pub(super) struct MetaGraph<'a> {
    /// Who wrote it.
    pub(super) tensorflow_version: Option<&'a str>,
    /// A `GraphDef`, unread.
    pub(super) graph: &'a [u8],
    /// All but TensorFlow's own.
    pub(super) signatures: Vec<Signature>,
    pub(super) saver: Option<Saver<'a>>,
    /// The operation that gets tables ready.
    pub(super) init: Option<&'a str>,
    pub(super) assets: Vec<Asset<'a>>,
}

/// How variables get their values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saver<'a> {
    /// The tensor that takes the path.
    pub(super) path: &'a str,
    /// The operation that reads them.
    pub(super) restore: &'a str,
}

/// A file of the folder `assets` that the graph reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asset<'a> {
    /// The tensor that takes its path.
    pub(super) path: &'a str,
    pub(super) file: &'a str,
}

impl<'a> MetaGraph<'a> {
    /// The graph for serving.
    ///
    /// # Errors
    /// There is none, or the bytes are no SavedModel.
    pub(super) fn for_serving(bytes: &'a [u8]) -> Result<Self, String> {
        let damaged = |_| "`saved_model.pb` is damaged, cut off or no SavedModel".to_owned();
        let mut found = Vec::new();
        for graph in messages(bytes, 2) {
            let graph = graph.map_err(damaged)?;
            let tags = tags(graph).map_err(damaged)?;
            if tags == [SERVE] {
                return Self::read(graph).map_err(damaged);
            }
            found.push(format!("`{}`", tags.join(", ")));
            if found.len() == MAX_ENTRIES {
                break;
            }
        }
        let found = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
        Err(format!("`saved_model.pb` has graphs with the tags {found}, expected one with `{SERVE}`"))
    }

    fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut meta = Self::default();
        let mut init_from_list = None;
        for field in Fields::of(message) {
            match field? {
                (1, info) => meta.tensorflow_version = text(info.bytes()?, 5)?.or(meta.tensorflow_version),
                (2, graph) => meta.graph = graph.bytes()?,
                (3, saver) => meta.saver = Saver::read(saver.bytes()?)?,
                (4, entry) => init_from_list = init_list(entry.bytes()?)?.or(init_from_list),
                (5, entry) => {
                    let (name, signature) = map_entry(entry.bytes()?)?;
                    if name == INIT {
                        meta.init = init_of_signature(signature)?;
                    } else if !name.starts_with("__saved_model") {
                        meta.signatures.push(Signature::read(name, signature)?);
                    }
                }
                (6, asset) => meta.assets.extend(Asset::read(asset.bytes()?)?),
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
    fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        Ok(text(message, 1)?.zip(text(message, 3)?).map(|(path, restore)| Self { path, restore }))
    }
}

impl<'a> Asset<'a> {
    fn read(message: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let tensor = messages(message, 1).last().transpose()?;
        let path = tensor.map(|tensor| text(tensor, 1)).transpose()?.flatten();
        Ok(path.zip(text(message, 2)?).map(|(path, file)| Self { path, file }))
    }
}

fn tags(meta_graph: &[u8]) -> Result<Vec<&str>, Malformed> {
    let mut tags = Vec::new();
    for info in messages(meta_graph, 1) {
        for tag in messages(info?, 4) {
            tags.push(Value::Bytes(tag?).text()?);
            if tags.len() > MAX_ENTRIES {
                return Err(Malformed);
            }
        }
    }
    Ok(tags)
}

/// The operation of a `CollectionDef`, where it is a list of such.
fn init_list(entry: &[u8]) -> Result<Option<&str>, Malformed> {
    let (name, collection) = map_entry(entry)?;
    if !INIT_LISTS.contains(&name) {
        return Ok(None);
    }
    let nodes = messages(collection, 1).last().transpose()?;
    nodes.map(|nodes| text(nodes, 1)).transpose().map(Option::flatten)
}

fn init_of_signature(signature: &[u8]) -> Result<Option<&str>, Malformed> {
    let Some(output) = messages(signature, 2).last().transpose()? else { return Ok(None) };
    let (_, tensor) = map_entry(output)?;
    text(tensor, 1)
}

/// The messages or bytes under one field of a message.
pub(super) fn messages(message: &[u8], wanted: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((field, value)) => (field == wanted).then(|| value.bytes()),
        Err(malformed) => Some(Err(malformed)),
    })
}

/// A text that is not empty. Of several under one field the last counts.
pub(super) fn text(message: &[u8], wanted: u64) -> Result<Option<&str>, Malformed> {
    let last = messages(message, wanted).try_fold(None, |_, found| found.map(Some))?;
    let text = last.map(|bytes| Value::Bytes(bytes).text()).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// Key and value of an entry of a map from texts to messages.
pub(super) fn map_entry(entry: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let value = messages(entry, 2).try_fold(&[][..], |_, found| found)?;
    Ok((text(entry, 1)?.unwrap_or_default(), value))
}
