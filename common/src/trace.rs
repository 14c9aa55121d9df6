//! W3C's trace context, by which a request is followed through other people's systems and ours.

/// What a header `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// 32 hexadecimal digits, not all zero.
    pub trace_id: &'a str,
    /// Two hexadecimal digits.
    pub flags: &'a str,
}

impl<'a> TraceContext<'a> {
    /// Reads a header; `None` if it is not valid.
    #[must_use]
    pub fn parse(header: &'a str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let mut field = |length: usize| {
            let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            fields.next().filter(|text| text.len() == length && text.bytes().all(lower_hex))
        };
        let (version, trace_id, parent, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let zero = |text: &str| text.bytes().all(|b| b == b'0');
        let complete = version != "00" || fields.next().is_none();
        let valid = version != "ff" && !zero(trace_id) && !zero(parent) && complete;
        valid.then_some(Self { trace_id, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_header_gives_its_trace_and_others_give_none() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let of = |text: String| TraceContext::parse(&text).map(|context| context.flags.to_owned());
        assert_eq!(of(format!("00-{id}-b7ad6b7169203331-01")).as_deref(), Some("01"));
        assert_eq!(of(format!("cc-{id}-b7ad6b7169203331-00-more")).as_deref(), Some("00"));
        for wrong in [
            format!("00-{id}-b7ad6b7169203331-01-more"),
            format!("ff-{id}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()),
            "00-1-2-3".to_owned(),
            String::new(),
        ] {
            assert_eq!(of(wrong.clone()), None, "{wrong}");
        }
    }
}
