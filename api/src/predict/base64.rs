//! Lenient base64, as clients send it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig, Simd};
use bytes::Bytes;

/// The standard alphabet, with or without padding: some encoders leave it out.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| {
    Simd::standard(GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent))
});

/// Decodes base64. Whitespace inside and a `data:image/…;base64,` prefix are skipped.
///
/// # Errors
/// Describes the error in a sentence.
pub(crate) fn decode(text: &str) -> Result<Bytes, String> {
    let payload = without_prefix(text)?;
    match ENGINE.decode(payload) {
        Ok(bytes) => Ok(bytes.into()),
        // Only after a failure: most payloads have no whitespace, and searching for it costs as much as decoding.
        Err(error) => match without_whitespace(payload) {
            Some(dense) => ENGINE.decode(dense).map(Bytes::from).map_err(|error| sentence(&error)),
            None => Err(sentence(&error)),
        },
    }
}

fn without_prefix(text: &str) -> Result<&str, String> {
    let text = text.trim_ascii_start();
    if !text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:")) {
        return Ok(text);
    }
    // Base64 has no comma, so the first one ends the prefix.
    let (prefix, payload) = text.split_once(',').ok_or("the data URL has no comma after its type")?;
    let is_base64 = prefix.rsplit(';').next().is_some_and(|word| word.trim().eq_ignore_ascii_case("base64"));
    if is_base64 { Ok(payload) } else { Err("the data URL is not in base64, expected `;base64,`".to_owned()) }
}

fn without_whitespace(payload: &str) -> Option<Vec<u8>> {
    let has_some = payload.bytes().any(|b| b.is_ascii_whitespace());
    has_some.then(|| payload.bytes().filter(|b| !b.is_ascii_whitespace()).collect())
}

fn sentence(error: &base64::DecodeError) -> String {
    let error = error.to_string();
    format!("the image is not standard base64: {}", error.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_taken_as_clients_send_it() {
        // The examples of RFC 4648, section 10, and variants of them.
        for (text, expected) in [
            ("", ""),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
            ("Zm9v\r\nYmFy\n", "foobar"),
            (" Z m 9 v ", "foo"),
            ("data:image/png;base64,Zm9v", "foo"),
            ("  DATA:image/svg+xml;charset=utf-8;BASE64,Zm\n9v", "foo"),
            ("data:;base64,", ""),
        ] {
            assert_eq!(decode(text).as_deref(), Ok(expected.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_base64_is_told() {
        for (text, says) in [
            ("Zm9v!", "not standard base64"),
            ("Z", "not standard base64"),
            ("Zm9v====", "not standard base64"),
            ("Zm-_", "not standard base64"),
            ("data:image/png,Zm9v", "`;base64,`"),
            ("data:image/png;base64", "no comma"),
            ("ä", "not standard base64"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn every_length_survives_the_way() {
        for length in 0..200_u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37)).collect();
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            assert_eq!(decode(&text).as_deref(), Ok(bytes.as_slice()));
        }
    }
}
