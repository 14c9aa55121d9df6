//! The size of answers: estimated before the work is queued, and reserved while an answer is built and sent.

use std::num::NonZeroU32;

use bytes::Bytes;
use common::messages::{ImageOutcome, LabelScore, PinnedModel};

use crate::app::App;
use crate::budget::Reserved;
use crate::failure::{Code, Failure};
use crate::label_sizes::text_size;

/// Bytes of an image's entry without its labels.
const ENTRY: usize = 96;
/// Bytes of a score without its label: `{"label":"","score":0.123456789},`.
const SCORE: usize = 36;
/// Assumed length of a label before the package is read. If an answer would be too large with such labels, the package
/// is read.
const LONG_LABEL: usize = 64;
/// Answers up to this size reserve nothing.
pub(crate) const SMALL: usize = 64 << 10;
/// Refuses a request whose answer would be too large, as far as this is known before its images are queued.
pub(crate) async fn check(
    app: &App,
    model: &PinnedModel,
    images: usize,
    top_k: Option<NonZeroU32>,
) -> Result<(), Failure> {
    let limit = app.config.max_answer_bytes;
    let wanted = top_k.map_or(0, |k| usize::try_from(k.get()).unwrap_or(usize::MAX));
    let size = |scores: usize, labels: usize| {
        images.saturating_mul(scores.saturating_mul(SCORE).saturating_add(labels).saturating_add(ENTRY))
    };
    if size(wanted, wanted.saturating_mul(LONG_LABEL)) <= limit {
        return Ok(());
    }
    let longest = match app.label_sizes.get(&model.version) {
        Some(longest) => longest,
        // The disk may have another version by now. Then the size is checked when the answer is built.
        None => match app.disk.open(model.name.clone()).await {
            Ok(package) if package.version == model.version => {
                app.label_sizes.remember(package.version, &package.config.postprocessing.classes)
            }
            Ok(_) | Err(_) => return Ok(()),
        },
    };
    let scores = wanted.min(longest.len());
    let bytes = size(scores, scores.checked_sub(1).map_or(0, |last| longest[last]));
    if bytes <= limit {
        return Ok(());
    }
    Err(too_large(bytes, limit, &format!("{images} images with {scores} scores each")))
}

/// Upper bound of the bytes of these outcomes in an answer.
pub(crate) fn size_of(outcomes: &[ImageOutcome]) -> usize {
    outcomes.iter().map(size_of_one).sum()
}

fn size_of_one(outcome: &ImageOutcome) -> usize {
    let scores =
        |list: &[LabelScore]| list.iter().map(|score| SCORE + text_size(&score.label)).sum::<usize>();
    ENTRY
        + match outcome {
            ImageOutcome::Classified { best, scores: several, labels } => {
                text_size(&best.label) + scores(several) + labels.as_deref().map_or(0, scores)
            }
            ImageOutcome::Rejected(error) => text_size(error.code.as_str()) + text_size(&error.detail),
        }
}

/// Reserves memory for an answer until it is sent.
pub(crate) fn reserve(app: &App, bytes: usize) -> Result<Reserved, Failure> {
    let limit = app.config.max_answer_bytes;
    if bytes > limit {
        return Err(too_large(bytes, limit, "its images with their scores"));
    }
    app.answer_budget.reserve(if bytes <= SMALL { 0 } else { bytes })
}

/// The body of an answer, with its reservation until the last byte is sent.
pub(crate) fn body(json: Vec<u8>, reserved: Reserved) -> Bytes {
    struct Held {
        json: Vec<u8>,
        _reserved: Reserved,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.json
        }
    }
    Bytes::from_owner(Held { json, _reserved: reserved })
}

fn too_large(bytes: usize, limit: usize, of: &str) -> Failure {
    Failure::new(
        Code::AnswerTooLarge,
        format!(
            "the answer would have {bytes} bytes for {of}, expected at most {limit}: ask for fewer scores (`top_k`), or \
             send the images in several requests"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_no_larger_than_it_was_said_to_be() {
        let label = "a \"dog\"\n\u{1}";
        assert_eq!(text_size(label) + 2, serde_json::to_string(label).unwrap().len());
        let score = LabelScore { label: label.to_owned(), score: 1.234_567_8e-30 };
        let outcome = ImageOutcome::Classified {
            best: score.clone(),
            scores: vec![score.clone(); 3],
            labels: Some(vec![score; 2]),
        };
        let size = size_of_one(&outcome);
        let json = serde_json::to_string(&super::super::answer::result_of(i64::MIN, outcome)).unwrap();
        assert!(json.len() <= size && size < json.len() + 2 * ENTRY, "{} {size}", json.len());
    }
}
