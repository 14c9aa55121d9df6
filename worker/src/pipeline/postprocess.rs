//! Turns the scores of an image into labels.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::num::NonZeroU32;

use common::messages::{ImageError, ImageErrorCode, ImageOutcome, LabelScore};
use common::package::config::{LabelRule, OutputActivation, Postprocessing};

/// Returns the best class, the best `top_k` of them (`None`: as many as the package's config says, or none) and, for a
/// multi-label config, the classes that reach their thresholds.
///
/// Of equal scores the one with the lower index comes first, as in NumPy's `argmax`. Non-finite scores, or a wrong
/// number of them, are the image's error.
#[must_use]
pub fn postprocess(outputs: &[f32], how: &Postprocessing, top_k: Option<NonZeroU32>) -> ImageOutcome {
    let asked = top_k.map_or(0, NonZeroU32::get);
    let scores = activated(outputs, how.activation);
    let classes = how.classes.as_slice();
    let outcome = match &how.rule {
        LabelRule::Argmax => ranked(&scores, classes, asked).map(Ranking::outcome),
        LabelRule::TopK { k } => {
            ranked(&scores, classes, top_k.map_or(*k, NonZeroU32::get)).map(Ranking::outcome)
        }
        LabelRule::MultiLabel { thresholds } => several(&scores, classes, thresholds, asked),
        LabelRule::Binary { threshold } => binary(&scores, classes, *threshold, asked),
    };
    outcome.unwrap_or_else(ImageOutcome::Rejected)
}

/// The best label, and the listed ones in order.
struct Ranking {
    best: LabelScore,
    listed: Vec<LabelScore>,
}

impl Ranking {
    fn outcome(self) -> ImageOutcome {
        ImageOutcome::Classified { best: self.best, scores: self.listed, labels: None }
    }
}

/// Applies the last activation that the model lacks.
fn activated(outputs: &[f32], activation: OutputActivation) -> Cow<'_, [f32]> {
    match activation {
        OutputActivation::None => Cow::Borrowed(outputs),
        OutputActivation::Sigmoid => outputs.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        OutputActivation::Softmax => {
            // Relative to the largest, so that no exponential overflows.
            let largest = outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = outputs.iter().map(|x| (x - largest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        }
    }
}

/// Every label that reaches its threshold, and the best one in any case.
fn several(
    scores: &[f32],
    classes: &[String],
    thresholds: &[f32],
    count: u32,
) -> Result<ImageOutcome, ImageError> {
    let Ranking { best, listed } = ranked(scores, classes, count)?;
    let mut reached: Vec<usize> = (0..scores.len()).filter(|i| scores[*i] >= thresholds[*i]).collect();
    // Stable, so that the first of equal scores stays first.
    reached.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap_or(Ordering::Equal));
    let labels = reached.into_iter().map(|i| LabelScore { label: classes[i].clone(), score: scores[i] });
    Ok(ImageOutcome::Classified { best, scores: listed, labels: Some(labels.collect()) })
}

/// The one output is the score of the second label. The threshold decides the label; the score is that label's.
fn binary(
    scores: &[f32],
    classes: &[String],
    threshold: f32,
    count: u32,
) -> Result<ImageOutcome, ImageError> {
    let &[second] = scores else {
        let detail = format!("the model gave {} scores, expected 1", scores.len());
        return Err(ImageError { code: ImageErrorCode::WrongNumberOfScores, detail });
    };
    let Ranking { mut listed, .. } = ranked(&[1.0 - second, second], classes, u32::MAX)?;
    let given = usize::from(second >= threshold);
    // By index and not by label: a config may have the same label twice.
    let best = LabelScore { label: classes[given].clone(), score: [1.0 - second, second][given] };
    if listed[0] != best {
        listed.reverse();
    }
    listed.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    Ok(ImageOutcome::Classified { best, scores: listed, labels: None })
}

/// Finds the best label, and lists the best `count` of them in order.
fn ranked(scores: &[f32], classes: &[String], count: u32) -> Result<Ranking, ImageError> {
    if scores.len() != classes.len() || classes.is_empty() {
        let detail = format!(
            "the model gave {} scores, expected one for each of {} labels",
            scores.len(),
            classes.len()
        );
        return Err(ImageError { code: ImageErrorCode::WrongNumberOfScores, detail });
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        let (label, score) = (&classes[index], scores[index]);
        let detail = format!("the model's score for `{label}` is {score}, expected finite numbers");
        return Err(ImageError { code: ImageErrorCode::NonFiniteScores, detail });
    }
    let entry = |index: usize| LabelScore { label: classes[index].clone(), score: scores[index] };
    // Finite scores always compare; zeros of either sign are equal, as in NumPy.
    let by_rank =
        |a: &usize, b: &usize| scores[*b].partial_cmp(&scores[*a]).unwrap_or(Ordering::Equal).then(a.cmp(b));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let wanted = usize::try_from(count).unwrap_or(usize::MAX).clamp(1, order.len());
    if wanted < order.len() {
        order.select_nth_unstable_by(wanted - 1, by_rank);
        order.truncate(wanted);
    }
    order.sort_unstable_by(by_rank);
    let listed = if count == 0 { Vec::new() } else { order.iter().map(|index| entry(*index)).collect() };
    Ok(Ranking { best: entry(order[0]), listed })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `top_k` is 0, the request does not say.
    fn postprocess(outputs: &[f32], how: &Postprocessing, top_k: u32) -> ImageOutcome {
        super::postprocess(outputs, how, NonZeroU32::new(top_k))
    }

    fn outcome(scores: &[f32], top_k: u32) -> ImageOutcome {
        let classes = ["cat", "dog", "bird", "fish"].map(str::to_owned).to_vec();
        postprocess(scores, &how(&classes, LabelRule::Argmax), top_k)
    }

    fn how(classes: &[String], rule: LabelRule) -> Postprocessing {
        Postprocessing {
            classes: classes.to_vec(),
            output_name: None,
            activation: OutputActivation::None,
            rule,
        }
    }

    /// Label, score and the lists of a classified image.
    fn classified(outcome: ImageOutcome) -> (LabelScore, Vec<LabelScore>, Option<Vec<LabelScore>>) {
        match outcome {
            ImageOutcome::Classified { best, scores, labels } => (best, scores, labels),
            ImageOutcome::Rejected(error) => panic!("{error:?}"),
        }
    }

    fn names(entries: &[LabelScore]) -> Vec<&str> {
        entries.iter().map(|entry| entry.label.as_str()).collect()
    }

    #[test]
    fn logits_become_scores_where_the_config_says_so() {
        let classes = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
        let of = |activation| {
            let how = Postprocessing { activation, ..how(&classes, LabelRule::Argmax) };
            let (_, scores, _) = classified(postprocess(&[1.0, 3.0, -2.0], &how, 3));
            scores.iter().map(|entry| entry.score).collect::<Vec<_>>()
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
            let how = how(&classes, LabelRule::Binary { threshold });
            let (best, scores, labels) = classified(postprocess(&[output], &how, 1));
            assert_eq!((best.label.as_str(), names(&scores), labels), (label, vec![label], None));
            assert!((best.score - score).abs() < 1e-6, "{best:?}");
            assert_eq!(classified(postprocess(&[output], &how, 2)).1.len(), 2);
        }
        let twice_the_same = how(&["x".to_owned(), "x".to_owned()], LabelRule::Binary { threshold: 0.9 });
        let (best, scores, _) = classified(postprocess(&[0.75], &twice_the_same, 2));
        assert_eq!((best.score, scores[0].score, scores[1].score), (0.25, 0.25, 0.75));
    }

    #[test]
    fn the_packages_own_number_of_scores_is_given_where_the_request_names_none() {
        let classes = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
        let how = how(&classes, LabelRule::TopK { k: 2 });
        for (asked, expected) in [
            (0, vec!["dog", "bird"]),
            (1, vec!["dog"]),
            (3, vec!["dog", "bird", "cat"]),
            (9, vec!["dog", "bird", "cat"]),
        ] {
            let (best, scores, labels) = classified(postprocess(&[0.1, 0.6, 0.3], &how, asked));
            assert_eq!((best.label.as_str(), names(&scores), labels), ("dog", expected, None), "{asked}");
        }
    }

    #[test]
    fn every_label_that_reaches_its_threshold_is_given() {
        let classes = ["cat", "dog", "bird"].map(str::to_owned).to_vec();
        for (thresholds, outputs, expected) in [
            ([0.5; 3], [0.5, 0.75, 0.25], vec!["dog", "cat"]),
            ([0.5; 3], [0.1, 0.2, 0.3], vec![]),
            ([0.5; 3], [0.75, 0.5, 0.75], vec!["cat", "bird", "dog"]),
            ([0.9, 0.1, 0.2], [0.8, 0.1, 0.3], vec!["bird", "dog"]),
        ] {
            let how = how(&classes, LabelRule::MultiLabel { thresholds: thresholds.to_vec() });
            let (best, scores, labels) = classified(postprocess(&outputs, &how, 0));
            assert_eq!(names(&labels.unwrap()), expected, "{outputs:?}");
            let largest = outputs.iter().copied().fold(0.0, f32::max);
            assert_eq!((best.score, scores.len()), (largest, 0), "{outputs:?}");
            assert_eq!(classified(postprocess(&outputs, &how, 2)).1.len(), 2);
        }
        let logits = Postprocessing {
            activation: OutputActivation::Sigmoid,
            ..how(&classes, LabelRule::MultiLabel { thresholds: vec![0.5; 3] })
        };
        let (best, _, labels) = classified(postprocess(&[-0.1, 0.0, 3.0], &logits, 0));
        assert_eq!((best.label.as_str(), names(&labels.unwrap())), ("bird", vec!["bird", "dog"]));
        let unfit = postprocess(&[0.1, f32::NAN, 0.3], &logits, 0);
        assert!(
            matches!(unfit, ImageOutcome::Rejected(error) if error.code == ImageErrorCode::NonFiniteScores)
        );
        let unfit = postprocess(&[0.1], &logits, 0);
        assert!(
            matches!(unfit, ImageOutcome::Rejected(error) if error.code == ImageErrorCode::WrongNumberOfScores)
        );
    }

    /// The best label and the listed ones.
    fn labels(scores: &[f32], top_k: u32) -> (String, Vec<String>) {
        let (best, scores, _) = classified(outcome(scores, top_k));
        (best.label, scores.into_iter().map(|entry| entry.label).collect())
    }

    fn code(scores: &[f32]) -> (ImageErrorCode, String) {
        match outcome(scores, 0) {
            ImageOutcome::Rejected(error) => (error.code, error.detail),
            ImageOutcome::Classified { best, .. } => panic!("{best:?}"),
        }
    }

    #[test]
    fn the_largest_score_wins_and_nothing_more_is_listed_unasked() {
        let best = LabelScore { label: "bird".to_owned(), score: 0.7 };
        let expected = ImageOutcome::Classified { best, scores: Vec::new(), labels: None };
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
            assert_eq!(code, ImageErrorCode::NonFiniteScores);
            assert!(detail.contains("`dog`"), "{detail}");
        }
    }

    #[test]
    fn scores_that_do_not_match_the_labels_are_an_error() {
        assert_eq!(code(&[0.1, 0.2, 0.3]).0, ImageErrorCode::WrongNumberOfScores);
        assert_eq!(code(&[]).0, ImageErrorCode::WrongNumberOfScores);
    }
}
