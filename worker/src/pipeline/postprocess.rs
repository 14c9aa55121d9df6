//! The scores of one image become labels.

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
    let by_rank = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
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
