//! A number that is never zero, stored as 0 where there is none: so all releases read and write it.

use std::num::NonZeroU32;

use serde::{Deserialize as _, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(number: &Option<NonZeroU32>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u32(number.map_or(0, NonZeroU32::get))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU32>, D::Error> {
    u32::deserialize(from).map(NonZeroU32::new)
}
