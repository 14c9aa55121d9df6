//! HDF5 files, as far as Keras uses them: groups found by name, attributes that are strings, arrays of floats.
//!
//! Groups are never listed or traversed, so a cycle of links is harmless. All that is read together is at most a little
//! larger than the file, in case it is compressed. So an array with many names, or a string with many references, cannot
//! turn kilobytes into gigabytes.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use hdf5_reader::error::Error;
use hdf5_reader::messages::attribute::AttributeMessage;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};

use super::ImportError;

mod allowance;
mod text;

pub(super) use self::allowance::Allowance;

/// Largest header of a group or an array, in bytes. It holds up to eight attributes of 64 KB.
const MAX_HEADER: usize = 1 << 20;

/// Most numbered chunks of an attribute (`weight_names0`, …).
const MAX_CHUNKS: usize = 10_000;

/// Why something could not be read from the file.
#[derive(Debug)]
pub(super) enum Fault {
    /// The system refused to read; says why.
    Unreadable(String),
    /// The bytes are not valid; says why.
    Damaged(String),
}

/// A group.
pub(super) struct Folder {
    group: hdf5_reader::group::Group,
    /// As they are stored. Their strings are read on request.
    attributes: Vec<AttributeMessage>,
    allowance: Allowance,
}

/// An array, not yet read.
pub(super) struct Array {
    dataset: Dataset,
    shape: Vec<usize>,
    allowance: Allowance,
}

/// Opens a file and returns its root group.
///
/// # Errors
/// The file cannot be read, or is not HDF5.
pub(super) fn open(path: &Path) -> Result<Folder, ImportError> {
    let shown = path.display();
    let unreadable =
        |error: &io::Error| ImportError::Unreadable(format!("`{shown}` cannot be read: {error}"));
    let length =
        std::fs::File::open(path).and_then(|file| file.metadata()).map_err(|e| unreadable(&e))?.len();
    if length == 0 {
        return Err(ImportError::faulty(format!("`{shown}` is empty, expected an HDF5 file saved by Keras")));
    }
    let allowance = Allowance::of_a_file(length);
    let opened = Hdf5File::open_with_options(path, limits(&allowance));
    root(opened, allowance).map_err(|fault| match fault {
        Fault::Unreadable(reason) => ImportError::Unreadable(format!("`{shown}` cannot be read: {reason}")),
        Fault::Damaged(reason) => ImportError::faulty(format!(
            "`{shown}` is not a complete HDF5 file: {reason}; expected a model saved by Keras"
        )),
    })
}

/// Opens a file in memory and returns its root group.
///
/// # Errors
/// It is not HDF5.
pub(super) fn open_bytes(bytes: Vec<u8>, allowance: Allowance) -> Result<Folder, Fault> {
    let options = limits(&allowance);
    root(Hdf5File::from_vec_with_options(bytes, options), allowance)
}

fn limits(allowance: &Allowance) -> OpenOptions {
    let largest = usize::try_from(allowance.left()).unwrap_or(usize::MAX);
    OpenOptions::default()
        .with_max_read_bytes(largest)
        .with_max_chunk_bytes(largest)
        .with_max_object_header_bytes(MAX_HEADER)
        // Nothing is read twice.
        .with_chunk_cache_bytes(0)
}

fn root(file: Result<Hdf5File, Error>, allowance: Allowance) -> Result<Folder, Fault> {
    let group = file.and_then(|file| file.root_group())?;
    Folder::new(group, allowance)
}

impl Folder {
    fn new(group: hdf5_reader::group::Group, allowance: Allowance) -> Result<Self, Fault> {
        let mut attributes = Vec::new();
        for attribute in group.raw_attributes()? {
            let (attribute, _) = attribute.into_parts();
            allowance.take(attribute.raw_data.len() as u64)?;
            attributes.push(attribute);
        }
        Ok(Self { group, attributes, allowance })
    }

    /// Returns the group at `path` below this one, with names joined by `/`.
    pub(super) fn folder(&self, path: &str) -> Result<Option<Self>, Fault> {
        let group = self.descend(path.split('/'))?;
        group.map(|group| Self::new(group, self.allowance.clone())).transpose()
    }

    /// Returns whether there is a group at `path` below this one.
    pub(super) fn has_folder(&self, path: &str) -> Result<bool, Fault> {
        Ok(self.descend(path.split('/'))?.is_some())
    }

    /// Returns the array at `path` below this group.
    pub(super) fn array(&self, path: &str) -> Result<Option<Array>, Fault> {
        let (parents, name) = path.rsplit_once('/').map_or((None, path), |(p, n)| (Some(p), n));
        let Some(group) = self.descend(parents.into_iter().flat_map(|p| p.split('/')))? else {
            return Ok(None);
        };
        let Some(dataset) = found(group.dataset(name))? else { return Ok(None) };
        let shape = dataset.shape().iter().map(|&size| usize::try_from(size)).collect::<Result<_, _>>();
        let shape = shape.map_err(|_| Fault::Damaged(format!("`{path}` has an impossible shape")))?;
        Ok(Some(Array { dataset, shape, allowance: self.allowance.clone() }))
    }

    /// Returns a string attribute.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let mut texts = self.texts_of(attribute)?;
        match (texts.pop(), texts.is_empty()) {
            (Some(text), true) => Ok(Some(text)),
            (Some(_) | None, _) => Err(Fault::Damaged(format!("attribute `{name}` is not one text"))),
        }
    }

    /// Returns a list of strings, whole or in numbered chunks; `None` where there is neither.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Fault> {
        if let Some(attribute) = self.attribute(name) {
            return self.texts_of(attribute).map(Some);
        }
        let mut texts = None;
        for chunk in 0..MAX_CHUNKS {
            let Some(attribute) = self.attribute(&format!("{name}{chunk}")) else { break };
            texts.get_or_insert_with(Vec::new).extend(self.texts_of(attribute)?);
        }
        Ok(texts)
    }

    fn attribute(&self, name: &str) -> Option<&AttributeMessage> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    fn descend<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Option<hdf5_reader::group::Group>, Fault> {
        let mut group = self.group.clone();
        for name in names.filter(|name| !name.is_empty()) {
            match found(group.group(name))? {
                Some(child) => group = child,
                None => return Ok(None),
            }
        }
        Ok(Some(group))
    }
}

impl Array {
    /// Its sizes; empty for a scalar.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads the values as float32. The caller has checked the shape.
    pub(super) fn read(&self) -> Result<Arc<[f32]>, Fault> {
        let datatype = self.dataset.dtype();
        let Datatype::FloatingPoint { size, .. } = *datatype else {
            return Err(Fault::Damaged(format!("its elements are {}, expected floats", kind(datatype))));
        };
        self.check_that_floats_are_ieee(size)?;
        self.allowance.take(self.dataset.num_elements()?.saturating_mul(size.into()))?;
        let values = match size {
            2 => {
                let bytes = self.dataset.read_native_bytes()?;
                let half = |pair: &[u8]| half::f16::from_ne_bytes([pair[0], pair[1]]).to_f32();
                bytes.chunks_exact(2).map(half).collect()
            }
            4 => {
                let values = self.dataset.read_array::<f32>()?;
                values.as_slice().map_or_else(|| values.iter().copied().collect(), Arc::from)
            }
            #[expect(clippy::cast_possible_truncation, reason = "the model computes in float32")]
            _ => self.dataset.read_array::<f64>()?.iter().map(|&value| value as f32).collect(),
        };
        Ok(values)
    }

    /// The library reads all floats of 2, 4 and 8 bytes as IEEE 754. Others, such as bfloat16, are refused.
    fn check_that_floats_are_ieee(&self, size: u8) -> Result<(), Fault> {
        // Class and size, 8 bytes; then bit offset and precision, 2 each, position and width of exponent and
        // mantissa, 1 each, exponent bias, 4 (HDF5 specification, datatype message, class 1).
        let layout: [u8; 12] = match size {
            2 => [0, 0, 16, 0, 10, 5, 0, 10, 15, 0, 0, 0],
            4 => [0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0],
            8 => [0, 0, 64, 0, 52, 11, 0, 52, 255, 3, 0, 0],
            other => {
                return Err(Fault::Damaged(format!("its floats have {other} bytes, expected 2, 4 or 8")));
            }
        };
        let raw = self.dataset.raw_datatype()?;
        if raw.get(8..20) == Some(&layout) {
            return Ok(());
        }
        Err(Fault::Damaged(format!("its floats of {size} bytes are not in IEEE 754 format")))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if let Error::Context { source, .. } = error {
            return Self::from(*source);
        }
        if let Error::Io(cause) = &error
            && cause.kind() != ErrorKind::UnexpectedEof
        {
            return Self::Unreadable(cause.to_string());
        }
        Self::Damaged(error.to_string())
    }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::GroupNotFound(_) | Error::DatasetNotFound(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn kind(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::FixedPoint { .. } => "integers",
        Datatype::FloatingPoint { .. } => "floats",
        Datatype::String { .. } => "texts",
        Datatype::Compound { .. } => "records",
        Datatype::Array { .. } => "arrays",
        Datatype::Enum { .. } => "enumerated values",
        Datatype::VarLen { .. } => "lists",
        Datatype::Opaque { .. } => "opaque bytes",
        Datatype::Reference { .. } => "references",
        Datatype::Bitfield { .. } => "bit fields",
    }
}
