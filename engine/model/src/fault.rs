//! What is wrong with an operation.

/// What is wrong with an operation, as a sentence without the layer's name, such as "its window of 5 does not fit its input
/// of 3 pixels".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

impl From<String> for Fault {
    fn from(sentence: String) -> Self {
        Self(sentence)
    }
}

impl From<&str> for Fault {
    fn from(sentence: &str) -> Self {
        Self(sentence.to_owned())
    }
}
