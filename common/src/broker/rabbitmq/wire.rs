//! Parts and hints as bytes: named MessagePack, which tolerates added fields.

use serde::Deserialize;

use crate::broker::{BrokerError, Hint};
use crate::messages::{Part, WIRE_VERSION};

pub(super) fn encode(part: &Part) -> Result<Vec<u8>, BrokerError> {
    rmp_serde::to_vec_named(part).map_err(|e| BrokerError::Malformed(e.to_string()))
}

/// The part in a message, or why it cannot be read.
pub(super) fn decode(bytes: &[u8]) -> Result<Part, String> {
    #[derive(Deserialize)]
    struct Header {
        wire: u16,
    }
    let newer =
        |wire: u16| format!("wire version {wire} is newer than {WIRE_VERSION}, which this worker reads");
    match rmp_serde::from_slice::<Part>(bytes) {
        Ok(part) if part.wire > WIRE_VERSION => Err(newer(part.wire)),
        Ok(part) => Ok(part),
        Err(error) => match rmp_serde::from_slice::<Header>(bytes) {
            Ok(header) if header.wire > WIRE_VERSION => Err(newer(header.wire)),
            Ok(_) | Err(_) => Err(format!("the message is not a part: {error}")),
        },
    }
}

pub(super) fn encode_hint(hint: &Hint) -> Result<Vec<u8>, BrokerError> {
    serde_json::to_vec(hint).map_err(|e| BrokerError::Malformed(e.to_string()))
}

/// The hint in a message; `None` for a kind that this version does not know.
pub(super) fn decode_hint(bytes: &[u8]) -> Option<Hint> {
    serde_json::from_slice(bytes).ok()
}
