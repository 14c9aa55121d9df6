//! The JSON document of a request. Base64 is decoded while parsing, without a copy of the text.

use std::fmt;

use bytes::Bytes;
use common::messages::{ImageError, ImageErrorCode};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::error::Category;

use super::base64;
use super::requested::{RequestLimits, RequestedImage};
use crate::failure::{Code, Failure};

/// Parses `{"images": [{"image_id": 0, "img_base64": "…"}, …]}`; other keys are ignored.
///
/// # Errors
/// The body is not JSON, has the wrong shape, or has too many images.
pub(crate) fn parse(body: &[u8], limits: RequestLimits) -> Result<Vec<RequestedImage>, Failure> {
    let mut walk = Walk { limits, path: JsonPath::Root, images: Vec::new(), count: 0 };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = RootSeed(&mut walk).deserialize(&mut reader).and_then(|()| reader.end());
    if let Err(error) = read {
        return Err(match error.classify() {
            Category::Data => {
                Failure::new(Code::InvalidRequest, format!("`{}`: {}", walk.path, sentence(&error)))
            }
            Category::Io | Category::Syntax | Category::Eof => {
                Failure::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
            }
        });
    }
    limits.check_count(walk.count)?;
    Ok(walk.images)
}

/// The images so far, and the parser's position.
struct Walk {
    limits: RequestLimits,
    path: JsonPath,
    images: Vec<RequestedImage>,
    count: usize,
}

/// A path in the document, for error messages.
#[derive(Clone, Copy)]
enum JsonPath {
    Root,
    Images,
    Image(usize),
    Key(usize, &'static str),
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("body"),
            Self::Images => f.write_str("images"),
            Self::Image(index) => write!(f, "images[{index}]"),
            Self::Key(index, key) => write!(f, "images[{index}].{key}"),
        }
    }
}

/// The parser's message without the value of an unexpected string: that can be a whole image.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let start = "invalid type: string \"";
    match (text.strip_prefix(start), text.rfind("\", expected ")) {
        (Some(_), Some(end)) => format!("invalid type: a string{}", &text[end + 1..]),
        _ => text,
    }
}

/// Reads the document.
struct RootSeed<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for RootSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RootSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the list `images`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<RootKey>()? {
            match key {
                RootKey::Images => {
                    found = true;
                    self.0.path = JsonPath::Images;
                    self.0.images.clear();
                    self.0.count = 0;
                    map.next_value_seed(ListSeed(self.0))?;
                    self.0.path = JsonPath::Root;
                }
                RootKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if found {
            Ok(())
        } else {
            Err(A::Error::custom("the key `images` is missing, expected a list of images"))
        }
    }
}

/// The keys of the document.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum RootKey {
    Images,
    #[serde(other)]
    Other,
}

/// Reads the list of images.
struct ListSeed<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of images")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let walk = self.0;
        loop {
            walk.path = JsonPath::Image(walk.count);
            let more = if walk.count < walk.limits.max_images {
                match list.next_element_seed(ImageSeed(walk))? {
                    Some(image) => {
                        walk.images.push(image);
                        true
                    }
                    None => false,
                }
            } else {
                // Beyond the limit images are only counted, for the error message.
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            walk.count += 1;
        }
    }
}

/// Reads one image.
struct ImageSeed<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for ImageSeed<'_> {
    type Value = RequestedImage;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<RequestedImage, D::Error> {
        reader.deserialize_map(self)
    }
}

/// The keys of an image.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ImageKey {
    ImageId,
    ImgBase64,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for ImageSeed<'_> {
    type Value = RequestedImage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `image_id` and `img_base64`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RequestedImage, A::Error> {
        let walk = self.0;
        let index = walk.count;
        let (mut id, mut content) = (None, None);
        while let Some(key) = map.next_key::<ImageKey>()? {
            match key {
                ImageKey::ImageId => {
                    walk.path = JsonPath::Key(index, "image_id");
                    id = Some(map.next_value_seed(IdSeed)?);
                }
                ImageKey::ImgBase64 => {
                    walk.path = JsonPath::Key(index, "img_base64");
                    content = Some(map.next_value_seed(Base64Seed(walk.limits))?);
                }
                ImageKey::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            walk.path = JsonPath::Image(index);
        }
        match (id, content) {
            (Some(id), Some(content)) => Ok(RequestedImage { id, content, file_name: None }),
            (None, _) => {
                walk.path = JsonPath::Key(index, "image_id");
                Err(A::Error::custom("the key is missing, expected an integer"))
            }
            (Some(_), None) => {
                walk.path = JsonPath::Key(index, "img_base64");
                Err(A::Error::custom("the key is missing, expected an image file in base64"))
            }
        }
    }
}

/// Reads an image's id.
struct IdSeed;

impl<'de> DeserializeSeed<'de> for IdSeed {
    type Value = i64;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<i64, D::Error> {
        reader.deserialize_i64(self)
    }
}

impl Visitor<'_> for IdSeed {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer of 64 bits")
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<i64, E> {
        Ok(id)
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<i64, E> {
        i64::try_from(id).map_err(|_| E::invalid_value(Unexpected::Unsigned(id), &self))
    }

    /// JSON has only one kind of number: 7.0 is the integer 7.
    fn visit_f64<E: Error>(self, id: f64) -> Result<i64, E> {
        // 2^63: larger integers arrive as the nearest floating point number, which is no smaller.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        if id.fract() == 0.0 && id.abs() < BEYOND {
            #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
            return Ok(id as i64);
        }
        Err(E::invalid_type(Unexpected::Float(id), &self))
    }
}

/// Reads an image's base64.
struct Base64Seed(RequestLimits);

impl<'de> DeserializeSeed<'de> for Base64Seed {
    type Value = Result<Bytes, ImageError>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Base64Seed {
    type Value = Result<Bytes, ImageError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string with an image file in base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(base64::decode(text)
            .map_err(|detail| ImageError { code: ImageErrorCode::InvalidBase64, detail })
            .and_then(|bytes| self.0.check(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { max_images: 3, max_image_bytes: 6, max_pixels: u64::MAX };

    fn check_error(body: &str, code: Code, says: &str) {
        let error = parse(body.as_bytes(), LIMITS).unwrap_err();
        let told = format!("{error:?}");
        assert!(error.code == code && told.contains(says), "{body}: {told}");
    }

    #[test]
    fn a_document_is_read_whatever_else_stands_in_it() {
        let body = r#" {"x": {"images": 1}, "images": [
            {"img_base64": "Zm9v", "image_id": -7, "note": [1, {"a": null}]},
            {"image_id": 9223372036854775807, "img_base64": "Zm9\/"},
            {"image_id": -7.0, "img_base64": "Z\u006d9v"}], "y": "z"} "#;
        let images = parse(body.as_bytes(), LIMITS).unwrap();
        assert_eq!(images.iter().map(|i| i.id).collect::<Vec<_>>(), [-7, i64::MAX, -7]);
        assert_eq!(images[0].content.as_deref(), Ok(&b"foo"[..]));
        assert_eq!(images[1].content.as_deref(), Ok(&b"fo\x7f"[..]));
        assert_eq!(images[2].content.as_deref(), Ok(&b"foo"[..]));
    }

    #[test]
    fn one_bad_image_spoils_only_itself() {
        let body = r#"{"images": [{"image_id": 0, "img_base64": "?"}, {"image_id": 1, "img_base64": "Zm9v"},
            {"image_id": 2, "img_base64": "Zm9vYmFyIQ=="}]}"#;
        let images = parse(body.as_bytes(), LIMITS).unwrap();
        let code = |index: usize| images[index].content.as_ref().map_err(|error| error.code.as_str()).err();
        assert_eq!([code(0), code(1), code(2)], [Some("invalid_base64"), None, Some("image_too_large")]);
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_a_wrong_shape() {
        for body in ["", "{", "images", r#"{"images": []} x"#, r#"{"images": [}"#, "\u{feff}{}"] {
            check_error(body, Code::InvalidJson, "not JSON");
        }
    }

    #[test]
    fn a_wrong_shape_names_the_path() {
        for (body, says) in [
            ("[]", "`body`: invalid type: sequence, expected an object"),
            ("\"x\"", "`body`: invalid type: a string"),
            ("{}", "`body`: the key `images` is missing"),
            (r#"{"images": null}"#, "`images`: invalid type: null, expected a list"),
            (r#"{"images": "Zm9v"}"#, "`images`: invalid type: a string"),
            (r#"{"images": [3]}"#, "`images[0]`: invalid type: integer `3`"),
            (r#"{"images": [{"image_id": 0}]}"#, "`images[0].img_base64`: the key is missing"),
            (
                r#"{"images": [{"image_id": 0, "img_base64": "Zm9v"}, {"img_base64": "Zm9v"}]}"#,
                "`images[1].image_id`: the key is missing",
            ),
            (
                r#"{"images": [{"image_id": "0", "img_base64": ""}]}"#,
                "`images[0].image_id`: invalid type: a string",
            ),
            (r#"{"images": [{"image_id": 1.5}]}"#, "`images[0].image_id`: invalid type: floating point"),
            (
                r#"{"images": [{"image_id": -9223372036854775809}]}"#,
                "`images[0].image_id`: invalid type: floating point",
            ),
            (r#"{"images": [{"image_id": 1e19}]}"#, "`images[0].image_id`: invalid type: floating point"),
            (r#"{"images": [{"image_id": 9223372036854775808}]}"#, "`images[0].image_id`: invalid value"),
            (r#"{"images": [{"img_base64": 7}]}"#, "`images[0].img_base64`: invalid type: integer `7`"),
        ] {
            check_error(body, Code::InvalidRequest, says);
        }
    }

    #[test]
    fn too_many_images_are_counted_to_the_end() {
        let image = r#"{"image_id": 0, "img_base64": "Zm9v"}"#;
        let body = format!(r#"{{"images": [{}]}}"#, [image; 5].join(","));
        check_error(&body, Code::TooManyImages, "5 images, expected at most 3");
        let deep = format!(r#"{{"a": {}1{}, "images": []}}"#, "[".repeat(5000), "]".repeat(5000));
        // The parser refuses or skips deep nesting, so that it cannot overflow the stack.
        let _ = parse(deep.as_bytes(), LIMITS);
    }
}
