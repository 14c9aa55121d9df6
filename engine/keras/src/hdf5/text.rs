//! Strings of attributes: of fixed length in the attribute itself, or of variable length behind references.

use hdf5_reader::error::Error;
use hdf5_reader::messages::attribute::AttributeMessage;
use hdf5_reader::{Attribute, Datatype, StringSize, VarLenKind};

use super::{Fault, Folder, kind};

/// Most strings of an attribute. The largest of Keras's own models has two thousand weights.
const MAX_TEXTS: u64 = 1 << 20;

impl Folder {
    pub(super) fn texts_of(&self, attribute: &AttributeMessage) -> Result<Vec<String>, Fault> {
        let name = &attribute.name;
        let count = attribute.dataspace.num_elements().map_err(Error::from)?;
        // Keras writes an empty list of names, which NumPy converts to float64.
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_TEXTS {
            let most = format!("expected at most {MAX_TEXTS}");
            return Err(Fault::Damaged(format!("attribute `{name}` has {count} elements, {most}")));
        }
        match &attribute.datatype {
            Datatype::String { size: StringSize::Variable, .. }
            | Datatype::VarLen { kind: VarLenKind::String, .. } => self.texts_behind(attribute, count),
            Datatype::String { .. } => Ok(Attribute::from_message(attribute.clone()).read_strings()?),
            Datatype::FixedPoint { .. }
            | Datatype::FloatingPoint { .. }
            | Datatype::Compound { .. }
            | Datatype::Array { .. }
            | Datatype::Enum { .. }
            | Datatype::VarLen { .. }
            | Datatype::Opaque { .. }
            | Datatype::Reference { .. }
            | Datatype::Bitfield { .. } => {
                let kind = kind(&attribute.datatype);
                Err(Fault::Damaged(format!("attribute `{name}` holds {kind}, expected text")))
            }
        }
    }

    /// Each reference is a length of 4 bytes, the address of a heap, and a heap index of 4 bytes (HDF5 specification,
    /// variable-length datatype). The lengths are counted before anything is read, so that many references to one long
    /// string do not make many copies of it.
    fn texts_behind(&self, attribute: &AttributeMessage, count: u64) -> Result<Vec<String>, Fault> {
        let name = &attribute.name;
        let size = 4 + usize::from(self.group.offset_size()) + 4;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let references: Vec<&[u8]> = attribute.raw_data.chunks_exact(size).take(count).collect();
        if references.len() < count {
            let found = references.len();
            return Err(Fault::Damaged(format!("attribute `{name}` has {found} texts, expected {count}")));
        }
        for reference in &references {
            let length = [reference[0], reference[1], reference[2], reference[3]];
            self.allowance.take(u32::from_le_bytes(length).into())?;
        }
        let text = |reference: &&[u8]| {
            let missing = |why: String| Fault::Damaged(format!("the text of attribute `{name}`: {why}"));
            let bytes = self.group.resolve_vlen_reference_bytes(reference, 1);
            let mut bytes = bytes.map_err(|error| missing(error.to_string()))?;
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            String::from_utf8(bytes).map_err(|error| missing(error.to_string()))
        };
        references.iter().map(text).collect()
    }
}
