//! The lengths of the models' labels, as far as this process has read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use common::ids::ModelVersion;

/// Most models whose lengths are remembered.
const MODELS: usize = 16;

/// Cumulative sums of the lengths of a model's longest labels.
pub(crate) type Longest = Arc<[usize]>;

/// The lengths of the labels of models.
#[derive(Default)]
pub(crate) struct LabelSizes(Mutex<HashMap<ModelVersion, Longest>>);

impl LabelSizes {
    pub(crate) fn get(&self, version: &ModelVersion) -> Option<Longest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    pub(crate) fn remember(&self, version: ModelVersion, labels: &[String]) -> Longest {
        let mut lengths: Vec<usize> = labels.iter().map(|label| text_size(label)).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let mut sum = 0;
        let longest: Longest = lengths
            .into_iter()
            .map(|length| {
                sum += length;
                sum
            })
            .collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MODELS {
            known.clear();
        }
        known.insert(version, Arc::clone(&longest));
        longest
    }
}

/// The length of a text in JSON: quotes, line ends and the like take two bytes, other control characters six.
pub(crate) fn text_size(text: &str) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | 8 | 9 | 10 | 12 | 13 => 2,
        0..=31 => 6,
        _ => 1,
    };
    text.bytes().map(of).sum()
}
