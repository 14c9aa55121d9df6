//! The scores of one image become labels.

use std::borrow::Cow;
use std::cmp::Ordering;

use common::messages::{ImageError, ImageOutcome, LabelScore};
use common::package::config::{OutputActivation, Postprocessing};

/// Names the best class, and the best `top_k` of them where more than 0 are asked for.
///
/// Of equal scores the one with the lower index comes first, as NumPy's `argmax` has it. Scores that
/// are not finite, or not one for each label, are the image's error.
#[must_use]
pub fn postprocess(scores: &[f32], how: &Postprocessing, top_k: u32) -> ImageOutcome {
    let outcome = match how {
        Postprocessing::Argmax { classes, activation } => {
            ranked(&activated(scores, *activation), classes, top_k)
        }
        Postprocessing::Binary { classes, activation, threshold } => {
            binary(&activated(scores, *activation), classes, *threshold, top_k)
        }
    };
    match outcome {
        Ok((best, scores)) => ImageOutcome::Classified { best, scores },
        Err(error) => ImageOutcome::Rejected(error),
    }
}

/// What a model's own last activation would have made of its outputs.
fn activated(outputs: &[f32], activation: OutputActivation) -> Cow<'_, [f32]> {
    match activation {
        OutputActivation::None => Cow::Borrowed(outputs),
        OutputActivation::Sigmoid => outputs.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        OutputActivation::Softmax => {
            // Of differences to the largest, so that none is beyond what floats hold.
            let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = outputs.iter().map(|x| (x - largest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        }
    }
}

/// One output is the score of the second label. The label follows the threshold, the score is the label's.
fn binary(
    scores: &[f32],
    classes: &[String],
    threshold: f32,
    top_k: u32,
) -> Result<(LabelScore, Vec<LabelScore>), ImageError> {
    let &[second] = scores else {
        let detail = format!("the model gave {} scores, expected 1", scores.len());
        return Err(ImageError { code: "wrong_number_of_scores".to_owned(), detail });
    };
    let (_, mut listed) = ranked(&[1.0 - second, second], classes, u32::MAX)?;
    let given = &classes[usize::from(second >= threshold)];
    listed.sort_by_key(|entry| entry.label != *given);
    let best = listed[0].clone();
    listed.truncate(usize::try_from(top_k).unwrap_or(usize::MAX));
    Ok((best, listed))
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
        postprocess(scores, &Postprocessing::Argmax { classes, activation: OutputActivation::None }, top_k)
    }

    #[test]
    fn logits_become_scores_where_the_config_says_so() {
        let classes = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
        let of = |activation| {
            let how = Postprocessing::Argmax { classes: classes.clone(), activation };
            match postprocess(&[1.0, 3.0, -2.0], &how, 3) {
                ImageOutcome::Classified { scores, .. } => scores.iter().map(|s| s.score).collect::<Vec<_>>(),
                ImageOutcome::Rejected(error) => panic!("{error:?}"),
            }
        };
        // scipy.special.softmax and expit.
        let close = |found: Vec<f32>, expected: [f32; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        close(of(OutputActivation::Softmax), [0.875_600_6, 0.118_499_65, 0.005_899_75]);
        close(of(OutputActivation::Sigmoid), [0.952_574_1, 0.731_058_6, 0.119_202_92]);
    }

    #[test]
    fn one_output_chooses_between_two_labels() {
        let classes = ["cat", "dog"].map(str::to_owned).to_vec();
        for (output, threshold, label, score) in
            [(0.3, 0.5, "cat", 0.7), (0.5, 0.5, "dog", 0.5), (0.3, 0.2, "dog", 0.3), (0.9, 0.95, "cat", 0.1)]
        {
            let how = Postprocessing::Binary {
                classes: classes.clone(),
                activation: OutputActivation::None,
                threshold,
            };
            match postprocess(&[output], &how, 1) {
                ImageOutcome::Classified { best, scores } => {
                    assert_eq!((best.label.as_str(), scores.len()), (label, 1));
                    assert!((best.score - score).abs() < 1e-6, "{best:?}");
                }
                ImageOutcome::Rejected(error) => panic!("{error:?}"),
            }
        }
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
