//! Protocol buffers: writes TensorFlow's options, and reads its files.
//!
//! The code is written by hand. A field is a key (its number and its wire type) and a value. Field numbers are those of the
//! files in `tensorflow/core`, such as `protobuf/config.proto`.
//!
//! The input may be hostile. So the reader iterates over the fields of one message, copies nothing, and does not recurse. It
//! reads what the protobuf library reads: the last of several values of a scalar field, and several values of a message
//! field merged.

use std::borrow::Cow;

/// A message that is written field by field.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds an integer, a bool (0 or 1) or an enum. Negative numbers take ten bytes.
    pub(super) fn integer(mut self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value.cast_unsigned());
        self
    }

    /// Adds a message within this one.
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

    /// Adds a varint: seven bits per byte, the lowest first. The top bit marks that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// An integer, a bool or an enum; negative ones in two's complement.
    Integer(u64),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes, which nothing here needs.
    Fixed,
}

/// The bytes are not a protocol buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Iterates over the fields of a message in order.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        // The library keeps 32 bits of a key, so a larger key could be another field to it.
        let key = u64::from(u32::try_from(self.varint()?).map_err(|_| Malformed)?);
        if key >> 3 == 0 {
            return Err(Malformed);
        }
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
            // Groups, which are deprecated, and unknown wire types.
            _ => return Err(Malformed),
        };
        Ok((key >> 3, value))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        const MOST_BYTES: usize = 10;
        let mut value = 0;
        for index in 0..MOST_BYTES {
            let [byte] = *self.take(1)? else { return Err(Malformed) };
            // Bits beyond 64 are dropped, as in the protobuf library.
            value |= u64::from(byte & 0x7f) << (7 * index);
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

/// A message in one part or several, with the fields of all parts.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Parts<'a>(Vec<&'a [u8]>);

impl<'a> Parts<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(vec![message])
    }

    /// Iterates over all fields in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = Result<(u64, Value<'a>), Malformed>> {
        self.0.iter().flat_map(|piece| Fields::of(piece))
    }

    /// The bytes of the message: its parts concatenated.
    pub(super) fn bytes(&self) -> Cow<'a, [u8]> {
        match self.0[..] {
            [piece] => Cow::Borrowed(piece),
            _ => Cow::Owned(self.0.concat()),
        }
    }

    /// The messages or bytes of a repeated field.
    pub(super) fn repeated(&self, wanted: u64) -> impl Iterator<Item = Result<&'a [u8], Malformed>> {
        self.fields().filter_map(move |field| match field {
            Ok((field, value)) => (field == wanted).then(|| value.bytes()),
            Err(malformed) => Some(Err(malformed)),
        })
    }

    /// The message of a field; an empty one where there is none.
    pub(super) fn message(&self, wanted: u64) -> Result<Self, Malformed> {
        self.repeated(wanted).collect::<Result<_, _>>().map(Self)
    }

    /// The string of a field, if it is not empty. The last of several counts.
    pub(super) fn text(&self, wanted: u64) -> Result<Option<&'a str>, Malformed> {
        let last = self.repeated(wanted).try_fold(None, |_, found| found.map(Some))?;
        let text = last.map(|bytes| Value::Bytes(bytes).text()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The key and the value of an entry of a map from strings to messages.
    pub(super) fn entry(&self) -> Result<(&'a str, Self), Malformed> {
        Ok((self.text(1)?.unwrap_or_default(), self.message(2)?))
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
    fn what_is_given_twice_is_read_as_the_protobuf_library_reads_it() {
        // python: NodeDef.FromString(bytes) gives name "b", op "Y", attr {"f": {func: {name: "g", attr: {"k": …}}}}.
        let node = b"\x0a\x01a\x12\x01X\x0a\x01b\x12\x01Y\
            \x2a\x13\x0a\x01f\x12\x05\x52\x03\x0a\x01g\x12\x07\x52\x05\x12\x03\x0a\x01k";
        let node = Parts::of(node);
        assert_eq!((node.text(1), node.text(2)), (Ok(Some("b")), Ok(Some("Y"))));
        let entry = Parts::of(node.repeated(5).next().unwrap().unwrap());
        let (key, value) = entry.entry().unwrap();
        let function = value.message(10).unwrap();
        assert_eq!((key, function.text(1)), ("f", Ok(Some("g"))));
        let (inner, _) = Parts::of(function.repeated(2).next().unwrap().unwrap()).entry().unwrap();
        assert_eq!(inner, "k");
        assert_eq!(*function.bytes(), *b"\x0a\x01g\x12\x03\x0a\x01k");
        // A later empty string overrides an earlier one.
        assert_eq!(Parts::of(b"\x0a\x01a\x0a\x00").text(1), Ok(None));
    }

    #[test]
    fn a_key_that_the_library_would_cut_off_is_refused() {
        // Of 2^32 + 10 it keeps 10, which is field 1.
        for bytes in [&b"\x8a\x80\x80\x80\x10\x01a"[..], b"\x02\x01a"] {
            assert_eq!(Fields::of(bytes).next(), Some(Err(Malformed)), "{bytes:?}");
        }
        assert_eq!(Parts::of(b"\x8a\x80\x80\x80\x00\x01a").text(1), Ok(Some("a")));
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
