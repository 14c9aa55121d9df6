//! Why one image has no label.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why one image has no label. The code is stable, the detail is a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageError {
    /// For programs.
    pub code: ImageErrorCode,
    /// For people.
    pub detail: String,
}

impl ImageError {
    /// An error with this code.
    #[must_use]
    pub fn new(code: ImageErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// What kind of error. It travels as its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ImageErrorCode {
    /// The bytes are no image, of a format or variant that is not supported, or damaged.
    UndecodableImage,
    /// The image has more bytes or pixels than are allowed.
    ImageTooLarge,
    /// The package takes images of one size alone, and this has another.
    WrongImageSize,
    /// The text is not base64.
    InvalidBase64,
    /// A part of a form is neither a file nor an image.
    NotAnImage,
    /// The model gave another number of scores than the package has labels.
    WrongNumberOfScores,
    /// The model gave a score that is infinite or not a number.
    NonFiniteScores,
    /// The model could not compute.
    InferenceFailed,
    /// Workers ended while they tried the image.
    ImageCrashedWorker,
    /// A code of a newer release.
    Newer(String),
}

impl ImageErrorCode {
    /// All that this release knows.
    pub const ALL: [Self; 9] = [
        Self::UndecodableImage,
        Self::ImageTooLarge,
        Self::WrongImageSize,
        Self::InvalidBase64,
        Self::NotAnImage,
        Self::WrongNumberOfScores,
        Self::NonFiniteScores,
        Self::InferenceFailed,
        Self::ImageCrashedWorker,
    ];

    /// Its name, in snake_case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::UndecodableImage => "undecodable_image",
            Self::ImageTooLarge => "image_too_large",
            Self::WrongImageSize => "wrong_image_size",
            Self::InvalidBase64 => "invalid_base64",
            Self::NotAnImage => "not_an_image",
            Self::WrongNumberOfScores => "wrong_number_of_scores",
            Self::NonFiniteScores => "non_finite_scores",
            Self::InferenceFailed => "inference_failed",
            Self::ImageCrashedWorker => "image_crashed_worker",
            Self::Newer(name) => name,
        }
    }
}

impl fmt::Display for ImageErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for ImageErrorCode {
    fn from(name: String) -> Self {
        Self::ALL.into_iter().find(|code| code.as_str() == name).unwrap_or(Self::Newer(name))
    }
}

impl From<ImageErrorCode> for String {
    fn from(code: ImageErrorCode) -> Self {
        code.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_travels_as_its_name_and_one_of_a_newer_release_is_passed_on() {
        for code in ImageErrorCode::ALL.into_iter().chain([ImageErrorCode::Newer("too_blue".to_owned())]) {
            let error = ImageError::new(code.clone(), "why");
            let written = serde_json::to_string(&error).unwrap();
            assert_eq!(written, format!(r#"{{"code":"{code}","detail":"why"}}"#));
            assert_eq!(serde_json::from_str::<ImageError>(&written).unwrap(), error);
        }
    }
}
