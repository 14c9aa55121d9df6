//! The header of a form's part: `Content-Disposition` (RFC 7578), with the extended notation of RFC 8187.

/// Longest file name that is returned, in bytes.
const MAX_NAME: usize = 255;

/// The header of one part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    /// Name of the form's field.
    pub field: Option<String>,
    /// Name of the file.
    pub file: Option<String>,
}

impl Disposition {
    /// Parses the header. Invalid parameters are ignored; `filename*` takes precedence over `filename`, as in RFC 6266.
    pub(super) fn parse(header: &[u8]) -> Self {
        let mut found = Self::default();
        let mut extended = None;
        for (name, value) in parameters(header) {
            match name.to_ascii_lowercase().as_slice() {
                b"name" => found.field = Some(shortened(String::from_utf8_lossy(&value).into_owned())),
                b"filename" => found.file = Some(shortened(String::from_utf8_lossy(&value).into_owned())),
                b"filename*" => extended = decoded(&value).map(shortened).or(extended),
                _ => {}
            }
        }
        found.file = extended.or(found.file);
        found
    }
}

/// The parameters after the first semicolon, without quotes.
fn parameters(header: &[u8]) -> Vec<(&[u8], Vec<u8>)> {
    let mut found = Vec::new();
    let Some(start) = header.iter().position(|b| *b == b';') else { return found };
    let mut rest = &header[start + 1..];
    while let Some(equals) = rest.iter().position(|b| *b == b'=') {
        // A parameter without a value is ignored.
        let name = rest[..equals].rsplit(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let after = rest[equals + 1..].trim_ascii_start();
        let (value, length) = match after.first() {
            Some(b'"') => quoted(after),
            Some(_) | None => {
                let length = after.iter().position(|b| *b == b';').unwrap_or(after.len());
                (after[..length].trim_ascii().to_vec(), length)
            }
        };
        found.push((name, value));
        rest = &after[length..];
        rest = rest.iter().position(|b| *b == b';').map_or(&[][..], |semicolon| &rest[semicolon + 1..]);
    }
    found
}

/// The quoted text and its length in bytes with the quotes. A backslash before anything but a quote or a backslash is
/// literal: old browsers sent whole paths.
fn quoted(text: &[u8]) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match (byte, text.get(at + 1)) {
            (b'"', _) => return (value, at + 1),
            (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                value.push(*escaped);
                at += 2;
            }
            (byte, _) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    (value, text.len())
}

/// Decodes `UTF-8'en'na%C3%AFve`; `None` if it is written otherwise.
fn decoded(value: &[u8]) -> Option<String> {
    let mut fields = value.splitn(3, |b| *b == b'\'');
    let (charset, _language, encoded) = (fields.next()?, fields.next()?, fields.next()?);
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(byte) = encoded.get(at) {
        if *byte == b'%' {
            let digits = std::str::from_utf8(encoded.get(at + 1..at + 3)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            bytes.push(*byte);
            at += 1;
        }
    }
    if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        return Some(bytes.into_iter().map(char::from).collect());
    }
    charset.eq_ignore_ascii_case(b"utf-8").then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn shortened(mut name: String) -> String {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, field: Option<&str>, file: Option<&str>) {
        let expected = Disposition { field: field.map(str::to_owned), file: file.map(str::to_owned) };
        assert_eq!(Disposition::parse(header.as_bytes()), expected, "{header}");
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        check("form-data; name=\"f\"; filename=\"a.png\"", Some("f"), Some("a.png"));
        check("form-data;name=f;filename=a.png", Some("f"), Some("a.png"));
        check("form-data; filename=\"a;b=c.png\"; name=\"f\"", Some("f"), Some("a;b=c.png"));
        check("form-data; name=\"f\"; filename=\"sp \\\"q\\\".png\"", Some("f"), Some("sp \"q\".png"));
        check("form-data; name=\"f\"; filename=\"C:\\dir\\a.png\"", Some("f"), Some("C:\\dir\\a.png"));
        check("form-data; name=\"f\"; filename*=utf-8''%E7%8C%AB.png", Some("f"), Some("猫.png"));
        check("form-data; filename*=ISO-8859-1'en'%E9.png; filename=\"e.png\"", None, Some("é.png"));
        check("form-data; name=\"f\"; FILENAME=\"A\"", Some("f"), Some("A"));
        check("form-data; name=\"f\"; filename=\"\"", Some("f"), Some(""));
    }

    #[test]
    fn what_cannot_be_understood_is_not_there() {
        check("", None, None);
        check("form-data", None, None);
        check("form-data; name", None, None);
        check("form-data; filename*=utf-8''%E7%8; filename=\"a\"", None, Some("a"));
        check("form-data; filename*=koi8-r''%E7", None, None);
        check("form-data; name=\"open", Some("open"), None);
    }

    #[test]
    fn a_name_is_bounded() {
        let header = format!("form-data; filename=\"{}\"", "猫".repeat(1000));
        assert_eq!(Disposition::parse(header.as_bytes()).file.unwrap().len(), 255);
    }
}
