//! The few bytes of protocol buffers that TensorFlow wants for its options.
//!
//! Written by hand: a field is a key (its number, and how its value is written) and a value. Field
//! numbers are those of `tensorflow/core/protobuf/config.proto`.

/// A message that grows field by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// An integer, a bool (0 or 1) or an enum. Negative numbers take ten bytes, as the format has it.
    pub(super) fn integer(mut self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value.cast_unsigned());
        self
    }

    /// A message within this one.
    pub(super) fn message(mut self, field: u32, value: &Self) -> Self {
        const LENGTH_DELIMITED: u64 = 2;
        self.varint(u64::from(field) << 3 | LENGTH_DELIMITED);
        self.varint(value.0.len() as u64);
        self.0.extend_from_slice(&value.0);
        self
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_protobuf_library() {
        // python: ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1,
        //   gpu_options=GPUOptions(allow_growth=True), operation_timeout_in_ms=300).SerializeToString()
        let config = Message::default()
            .integer(2, 1)
            .integer(5, -1)
            .message(6, &Message::default().integer(4, 1))
            .integer(11, 300);
        let expected = b"\x10\x01\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x32\x02\x20\x01\x58\xac\x02";
        assert_eq!(config.bytes(), expected);
    }
}
