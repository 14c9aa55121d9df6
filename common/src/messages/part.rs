//! The messages of the queue: parts of jobs.

use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{PinnedModel, Timestamp, zero_for_none};
use crate::ids::{ClientName, JobId};

/// The newest version of the wire format that this release reads. A worker refuses parts of a newer one.
pub const WIRE_VERSION: u16 = 1;

/// One message: a part of one request, for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Message", into = "Message")]
pub struct Part {
    /// The wire version of its message: [`Payload::wire`], or that of a newer release.
    pub wire: u16,
    /// Its job and number.
    pub id: PartId,
    /// The model that must answer.
    pub model: PinnedModel,
    /// When the request was accepted.
    pub accepted_at: Timestamp,
    /// After this no client waits for the answer.
    pub deadline: Timestamp,
    /// How many of the best labels an image gets as scores; `None` for as many as the package says.
    pub top_k: Option<NonZeroU32>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// The request's id in the logs.
    pub request_id: Option<String>,
    /// Its client; `None` for a client without a name.
    pub client: Option<ClientName>,
    /// What the model gets.
    pub payload: Payload,
}

/// What the model of a part gets. Each kind of payload has its own key in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Encoded images; never empty. The only kind of wire version 1.
    Images(Vec<EncodedImage>),
}

impl Payload {
    /// Returns the wire version of a message with this payload.
    #[must_use]
    pub fn wire(&self) -> u16 {
        match self {
            Self::Images(_) => 1,
        }
    }

    /// Returns for how many images of the request it is.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Images(images) => images.len(),
        }
    }

    /// Returns the positions of these images in the request.
    #[must_use]
    pub fn positions(&self) -> Vec<u32> {
        match self {
            Self::Images(images) => images.iter().map(|image| image.position).collect(),
        }
    }

    /// Returns its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Images(images) => images.iter().map(|image| image.bytes.len()).sum(),
        }
    }
}

/// A part as it travels: a map, to which releases may add keys.
#[derive(Serialize, Deserialize)]
struct Message {
    wire: u16,
    id: PartId,
    model: PinnedModel,
    accepted_at: Timestamp,
    deadline: Timestamp,
    #[serde(with = "zero_for_none")]
    top_k: Option<NonZeroU32>,
    traceparent: Option<String>,
    request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<ClientName>,
    images: Vec<EncodedImage>,
}

impl From<Part> for Message {
    fn from(part: Part) -> Self {
        let Part { wire, id, model, accepted_at, deadline, top_k, traceparent, request_id, client, payload } =
            part;
        let Payload::Images(images) = payload;
        Self { wire, id, model, accepted_at, deadline, top_k, traceparent, request_id, client, images }
    }
}

impl From<Message> for Part {
    fn from(message: Message) -> Self {
        let Message {
            wire,
            id,
            model,
            accepted_at,
            deadline,
            top_k,
            traceparent,
            request_id,
            client,
            images,
        } = message;
        let payload = Payload::Images(images);
        Self { wire, id, model, accepted_at, deadline, top_k, traceparent, request_id, client, payload }
    }
}

/// One encoded image (JPEG, PNG, …), decoded only by workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedImage {
    /// Position in the request, from 0.
    pub position: u32,
    /// The file's bytes.
    pub bytes: Bytes,
}

/// Identifies one part of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartId {
    /// The job.
    pub job: JobId,
    /// The number of the part, from 0.
    pub index: u32,
}

impl std::fmt::Display for PartId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.job, self.index)
    }
}

impl FromStr for PartId {
    type Err = InvalidPartId;

    /// Reads what [`Display`](std::fmt::Display) writes: the job, a slash, the index.
    fn from_str(text: &str) -> Result<Self, InvalidPartId> {
        let parse = |text: &str| {
            let (job, index) = text.split_once('/')?;
            Some(Self { job: job.parse().ok()?, index: index.parse().ok()? })
        };
        parse(text).ok_or(InvalidPartId)
    }
}

/// A text that names no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a part is not valid, expected the job's id, a slash and a number")]
pub struct InvalidPartId;

/// A part with one image of a few bytes.
#[cfg(test)]
pub(crate) fn sample_part(job: JobId, index: u32) -> Part {
    Part {
        wire: WIRE_VERSION,
        id: PartId { job, index },
        model: PinnedModel {
            name: crate::ids::ModelName::parse("animals").expect("the name is valid"),
            version: crate::ids::ModelVersion::from_digest([0xab; 32]),
            generation: crate::ids::Generation(3),
        },
        accepted_at: Timestamp(1),
        deadline: Timestamp(2),
        top_k: NonZeroU32::new(5),
        traceparent: None,
        request_id: None,
        client: None,
        payload: Payload::Images(vec![EncodedImage {
            position: index,
            bytes: Bytes::from_static(&[7, 0, 255]),
        }]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_part_is_read_as_it_is_written() {
        let id = PartId { job: JobId::random(), index: 7 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "/", "x/1", &format!("{}/", id.job), &format!("{}/-1", id.job), &id.job.to_string()]
        {
            assert_eq!(wrong.parse::<PartId>(), Err(InvalidPartId), "{wrong}");
        }
    }

    /// A part as it was declared while images were its only payload.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Before {
        wire: u16,
        id: PartId,
        model: PinnedModel,
        accepted_at: Timestamp,
        deadline: Timestamp,
        top_k: u32,
        traceparent: Option<String>,
        request_id: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<ClientName>,
        images: Vec<EncodedImage>,
    }

    #[test]
    fn encoded_images_travel_as_before() {
        let part = sample_part(JobId::random(), 3);
        let written = rmp_serde::to_vec_named(&part).unwrap();
        let before: Before = rmp_serde::from_slice(&written).unwrap();
        assert_eq!((before.wire, before.id, before.top_k), (1, part.id, 5));
        assert_eq!((before.images[0].position, &before.images[0].bytes[..]), (3, &[7, 0, 255][..]));
        assert_eq!(rmp_serde::to_vec_named(&before).unwrap(), written);
        assert_eq!(rmp_serde::from_slice::<Part>(&written).unwrap(), part);
    }
}
