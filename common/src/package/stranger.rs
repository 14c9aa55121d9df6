//! Recognizes other content in place of a model's file.

/// Says what these first bytes of a model's file are instead, and what to do: the end of a sentence that begins with
/// the file's name.
#[must_use]
pub fn in_place_of_a_model(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if begins(b"version https://git-lfs") {
        Some(
            "is a pointer of Git LFS and not the model itself: run `git lfs pull` in the repository that it comes \
             from, and copy the file again",
        )
    } else if begins(b"<!doctype") || begins(b"<html") {
        Some("is a web page, expected a model saved by Keras: download the file itself")
    } else if bytes.get(4..8) == Some(b"TFL3") {
        Some("is a model of TensorFlow Lite, expected the model from which it was converted, saved by Keras")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_is_named_and_what_may_be_one_is_not() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert!(in_place_of_a_model(pointer).unwrap().contains("`git lfs pull`"));
        assert!(in_place_of_a_model(b"\n<!DOCTYPE HTML>").unwrap().contains("a web page"));
        assert!(in_place_of_a_model(b"<html lang=\"en\">").unwrap().contains("a web page"));
        assert!(in_place_of_a_model(b"\x1c\0\0\0TFL3\x14\0").unwrap().contains("TensorFlow Lite"));
        for other in [&b""[..], b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"version", b"<", b"\x08\x01\x12"] {
            assert_eq!(in_place_of_a_model(other), None, "{other:?}");
        }
    }
}
