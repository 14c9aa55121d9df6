//! Serializes parts and hints as named MessagePack, which tolerates added fields.

use crate::broker::newer::Header;
use crate::broker::{BrokerError, Hint};
use crate::messages::{Part, WIRE_VERSION};

pub(super) fn encode(part: &Part) -> Result<Vec<u8>, BrokerError> {
    rmp_serde::to_vec_named(part).map_err(|e| BrokerError::Malformed(e.to_string()))
}

/// The content of a message.
pub(super) enum Content {
    /// A part that this release can read.
    Part(Box<Part>),
    /// A part that a newer release wrote.
    Newer(Header),
    /// Not a part, with the reason.
    Foreign(String),
}

/// Parses a message.
pub(super) fn read(bytes: &[u8]) -> Content {
    match rmp_serde::from_slice::<Part>(bytes) {
        Ok(part) => match Header::of_newer(&part) {
            Some(header) => Content::Newer(header),
            None => Content::Part(Box::new(part)),
        },
        Err(error) => match rmp_serde::from_slice::<Header>(bytes) {
            Ok(header) if header.is_newer() => Content::Newer(header),
            Ok(_) | Err(_) => Content::Foreign(format!("the message is not a part: {error}")),
        },
    }
}

/// Returns the part in a message, or why it is unreadable.
pub(super) fn decode(bytes: &[u8]) -> Result<Part, String> {
    match read(bytes) {
        Content::Part(part) => Ok(*part),
        Content::Newer(Header { wire, .. }) => {
            Err(format!("wire version {wire} is newer than {WIRE_VERSION}, which this release reads"))
        }
        Content::Foreign(reason) => Err(reason),
    }
}

pub(super) fn encode_hint(hint: &Hint) -> Result<Vec<u8>, BrokerError> {
    serde_json::to_vec(hint).map_err(|e| BrokerError::Malformed(e.to_string()))
}

/// Returns the hint in a message; `None` for a kind that this version does not know.
pub(super) fn decode_hint(bytes: &[u8]) -> Option<Hint> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::JobId;
    use crate::messages::Timestamp;
    use crate::messages::sample_part;

    #[test]
    fn a_newer_part_is_known_by_its_header_whatever_else_it_holds() {
        let sample = sample_part(JobId::random(), 0);
        let newer = Part { wire: WIRE_VERSION + 1, ..sample.clone() };
        let bytes = rmp_serde::to_vec_named(&newer).unwrap();
        assert!(
            matches!(read(&bytes), Content::Newer(header) if header.deadline == Some(sample.deadline)),
            "a newer part of today's shape"
        );
        let other: BTreeMap<&str, u64> = [("wire", 9), ("deadline", 77), ("tensors", 3)].into();
        let bytes = rmp_serde::to_vec_named(&other).unwrap();
        assert!(matches!(read(&bytes), Content::Newer(Header { wire: 9, deadline: Some(Timestamp(77)) })));
        assert!(matches!(read(&encode(&sample).unwrap()), Content::Part(part) if *part == sample));
        assert!(matches!(read(b"no part at all"), Content::Foreign(_)));
        let old: BTreeMap<&str, u64> = [("wire", u64::from(WIRE_VERSION))].into();
        assert!(matches!(read(&rmp_serde::to_vec_named(&old).unwrap()), Content::Foreign(_)));
    }
}
