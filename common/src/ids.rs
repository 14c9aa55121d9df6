//! Validated names and ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A name that was not accepted. The message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

/// Identifies one accepted request; unguessable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// Length of every id's text.
    pub const TEXT_LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;

    /// Creates a random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for JobId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| InvalidName("a prediction id is a UUID such as 5f0c…-…".to_owned()))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a model package: a folder name that cannot leave the models folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

impl ModelName {
    /// The longest name accepted, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Accepts 1 to 128 ASCII letters, digits, `_`, `-` and `.`, not starting with a dot.
    ///
    /// # Errors
    /// A sentence with the allowed characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty()
            || text.len() > Self::MAX_LEN
            || text.starts_with('.')
            || !text.chars().all(allowed)
        {
            let shown: String = text.chars().take(64).collect();
            return Err(InvalidName(format!(
                "model name {shown:?} is not valid, expected 1 to {} letters, digits, `_`, `-` or `.`, not \
                 starting with a dot",
                Self::MAX_LEN
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a client: all keys with this name are one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientName(String);

impl ClientName {
    /// The longest name accepted, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Accepts 1 to 64 ASCII letters, digits, `_`, `-` and `.`.
    ///
    /// # Errors
    /// A sentence with the allowed characters, without the value: that may be part of a key.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.chars().all(allowed) {
            let expected = format!("1 to {} letters, digits, `_`, `-` or `.`", Self::MAX_LEN);
            return Err(InvalidName(format!("the name of a client is not valid, expected {expected}")));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digest of a package's model and config bytes: 64 lower-case hexadecimal digits (SHA-256).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelVersion(String);

impl ModelVersion {
    /// Returns the version for this digest.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        use fmt::Write as _;
        Self(digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// Returns all 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for ModelVersion {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let hexadecimal = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == 64 && text.bytes().all(hexadecimal) {
            Ok(Self(text))
        } else {
            Err(InvalidName("a model version is 64 lower-case hexadecimal digits".to_owned()))
        }
    }
}

impl From<ModelVersion> for String {
    fn from(version: ModelVersion) -> Self {
        version.0
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies one worker process for its lifetime.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(String);

impl WorkerId {
    /// Creates the id of a worker from its host's name and a random suffix.
    #[must_use]
    pub fn random(host: &str) -> Self {
        let tail = Uuid::new_v4().simple().to_string();
        Self(format!("{host}-{}", &tail[..8]))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for WorkerId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Unique id of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub Uuid);

/// Identifies one state of the fleet's document. Revisions are random, so that two states never have the same one, also
/// if a store comes back with older data.
///
/// A number below 2^52, which Lua scripts, and releases that counted revisions, can represent exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a document that was never written.
    pub const NONE: Self = Self(0);

    /// Creates a random revision.
    #[must_use]
    pub fn random() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // Some bits of either half of a UUID are fixed, but not those of their combination.
        Self(((high ^ low.rotate_left(17)) & ((1 << 52) - 1)).max(1))
    }

    /// Returns the revision with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Counts the model changes of a fleet: every swap that is begun gets the next one, whether or not it is committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// Returns the next generation.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_cannot_leave_the_models_folder() {
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a b", "ä", "a\0", &"x".repeat(129)] {
            assert!(ModelName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["digits", "animals_classifier_v0", "a..b", "v1.2-x", &"x".repeat(128)] {
            assert_eq!(ModelName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_name_is_checked_when_it_arrives_as_json() {
        assert!(serde_json::from_str::<ModelName>("\"../x\"").is_err());
        assert!(serde_json::from_str::<ModelVersion>("\"ABC\"").is_err());
        let version = ModelVersion::from_digest([0xab; 32]);
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(serde_json::from_str::<ModelVersion>(&json).unwrap(), version);
    }
}
