//! The scores of one image become labels.

use std::cmp::Ordering;

use common::messages::{ImageError, ImageOutcome, LabelScore};
use common::package::config::Postprocessing;

/// Names the best class, and the best `top_k` of them where more than 0 are asked for.
///
/// Of equal scores the one with the lower index comes first, as NumPy's `argmax` has it. Scores that
/// are not finite, or not one for each label, are the image's error.
#[must_use]
pub fn postprocess(scores: &[f32], how: &Postprocessing, top_k: u32) -> ImageOutcome {
    match how {
        Postprocessing::Argmax { classes } => match ranked(scores, classes, top_k) {
            Ok((best, scores)) => ImageOutcome::Classified { best, scores },
            Err(error) => ImageOutcome::Rejected(error),
        },
    }
}

fn ranked(
    scores: &[f32],
    classes: &[String],
    top_k: u32,
) -> Result<(LabelScore, Vec<LabelScore>), ImageError> {
    let rejected = |code: &str, detail: String| Err(ImageError { code: code.to_owned(), detail });
    if scores.len() != classes.len() || classes.is_empty() {
        let detail = format!(
            "the model gave {} scores, expected one for each of {} labels",
            scores.len(),
            classes.len()
        );
        return rejected("wrong_number_of_scores", detail);
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        let (label, score) = (&classes[index], scores[index]);
        return rejected(
            "non_finite_scores",
            format!("the model's score for `{label}` is {score}, expected finite numbers"),
        );
    }
    let entry = |index: usize| LabelScore { label: classes[index].clone(), score: scores[index] };
    // Finite scores always compare; zeros of either sign are equal, as in NumPy.
    let by_rank =
        |a: &usize, b: &usize| scores[*b].partial_cmp(&scores[*a]).unwrap_or(Ordering::Equal).then(a.cmp(b));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let wanted = usize::try_from(top_k).unwrap_or(usize::MAX).clamp(1, order.len());
    if wanted < order.len() {
        order.select_nth_unstable_by(wanted - 1, by_rank);
        order.truncate(wanted);
    }
    order.sort_unstable_by(by_rank);
    let listed = if top_k == 0 { Vec::new() } else { order.iter().map(|index| entry(*index)).collect() };
    Ok((entry(order[0]), listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(scores: &[f32], top_k: u32) -> ImageOutcome {
        let classes = ["cat", "dog", "bird", "fish"].map(str::to_owned).to_vec();
        postprocess(scores, &Postprocessing::Argmax { classes }, top_k)
    }

    /// The best label and the listed ones.
    fn labels(scores: &[f32], top_k: u32) -> (String, Vec<String>) {
        match outcome(scores, top_k) {
            ImageOutcome::Classified { best, scores } => {
                (best.label, scores.into_iter().map(|entry| entry.label).collect())
            }
            ImageOutcome::Rejected(error) => panic!("{error:?}"),
        }
    }

    fn code(scores: &[f32]) -> (String, String) {
        match outcome(scores, 0) {
            ImageOutcome::Rejected(error) => (error.code, error.detail),
            ImageOutcome::Classified { best, .. } => panic!("{best:?}"),
        }
    }

    #[test]
    fn the_largest_score_wins_and_nothing_more_is_listed_unasked() {
        let best = LabelScore { label: "bird".to_owned(), score: 0.7 };
        let expected = ImageOutcome::Classified { best, scores: Vec::new() };
        assert_eq!(outcome(&[0.1, 0.15, 0.7, 0.05], 0), expected);
    }

    #[test]
    fn the_first_of_equal_scores_comes_first() {
        assert_eq!(labels(&[0.1, 0.4, 0.1, 0.4], 4).1, ["dog", "fish", "cat", "bird"]);
        assert_eq!(labels(&[0.25; 4], 2), ("cat".to_owned(), vec!["cat".to_owned(), "dog".to_owned()]));
        assert_eq!(labels(&[-0.0, 0.0, -0.0, 0.0], 0).0, "cat");
    }

    #[test]
    fn negative_scores_are_ranked_like_any() {
        assert_eq!(labels(&[-3.0, -1.0, -2.0, -9.0], 3).1, ["dog", "bird", "cat"]);
    }

    #[test]
    fn more_labels_than_there_are_means_all() {
        assert_eq!(labels(&[0.1, 0.2, 0.3, 0.4], u32::MAX).1, ["fish", "bird", "dog", "cat"]);
    }

    #[test]
    fn a_score_that_is_no_number_is_the_images_error() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (code, detail) = code(&[0.1, bad, 0.2, 0.3]);
            assert_eq!(code, "non_finite_scores");
            assert!(detail.contains("`dog`"), "{detail}");
        }
    }

    #[test]
    fn scores_that_do_not_match_the_labels_are_an_error() {
        assert_eq!(code(&[0.1, 0.2, 0.3]).0, "wrong_number_of_scores");
        assert_eq!(code(&[]).0, "wrong_number_of_scores");
    }
}
