//! Protocol buffers: the few bytes that TensorFlow wants for its options, and a reader of what it left in files.
//!
//! Written by hand: a field is a key (its number, and how its value is written) and a value. Field
//! numbers are those of the files in `tensorflow/core`, such as `protobuf/config.proto`.
//!
//! What is read may have been written to do harm. So the reader goes over the fields of one message and
//! allocates nothing: how deep it gets is how deep its caller asks it to, and it ends with the bytes.

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

/// The value of a field that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// An integer, a bool or an enum; negative ones as their two's complement.
    Integer(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes, which nothing here needs.
    Fixed,
}

/// Bytes that are no protocol buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message, in the order in which they stand there.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Integer(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed)?)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            // Groups, which nothing writes any more, and what the format does not know.
            _ => return Err(Malformed),
        };
        Ok((key >> 3, value))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        const MOST_BYTES: usize = 10;
        let mut value = 0;
        for place in 0..MOST_BYTES {
            let [byte] = *self.take(1)? else { return Err(Malformed) };
            // What a tenth byte says beyond 64 bits is dropped, as the protobuf library does.
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    /// A message or bytes.
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Integer(_) | Self::Fixed => Err(Malformed),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(super) fn integer(self) -> Result<u64, Malformed> {
        match self {
            Self::Integer(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        // python: NodeDef(name="é", op="Const", input=["a", "^b"], attr={"n": AttrValue(i=-1), "f":
        //   AttrValue(f=0.5)}).SerializeToString(deterministic=True)
        let node = b"\x0a\x02\xc3\xa9\x12\x05Const\x1a\x01a\x1a\x02^b\x2a\x0a\x0a\x01f\x12\x05%\x00\x00\x00?\
            \x2a\x10\x0a\x01n\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let fields: Vec<_> = Fields::of(node).map(Result::unwrap).collect();
        let texts: Vec<_> =
            fields[..4].iter().map(|(field, value)| (*field, value.text().unwrap())).collect();
        assert_eq!(texts, [(1, "é"), (2, "Const"), (3, "a"), (3, "^b")]);
        let value = |entry: Value<'static>| {
            let (_, value) = Fields::of(entry.bytes().unwrap()).nth(1).unwrap().unwrap();
            Fields::of(value.bytes().unwrap()).next().unwrap().unwrap()
        };
        assert_eq!(value(fields[4].1), (4, Value::Fixed));
        assert_eq!(value(fields[5].1), (3, Value::Integer(u64::MAX)));
    }

    #[test]
    fn bytes_that_are_no_message_end_in_an_error() {
        let eleven_bytes = [0xff; 11];
        let huge_length = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for bytes in
            [&b"\x0a\x05ab"[..], b"\x08", b"\x0d\x00", b"\x0b\x0c", b"\x0e", &eleven_bytes, &huge_length]
        {
            let fields: Vec<_> = Fields::of(bytes).collect();
            assert_eq!(fields.last(), Some(&Err(Malformed)), "{bytes:?}");
        }
        assert_eq!(Fields::of(b"").next(), None);
        assert_eq!(Value::Bytes(b"\xff").text(), Err(Malformed));
    }

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
