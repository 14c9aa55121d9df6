//! A compact result: equal outcomes, such as those of invalid images, are stored once.

use crate::ids::WorkerId;
use crate::messages::{ImageOutcome, JobFailure, PartEnd, PartResult, StageTimes};

/// A stored result.
pub(super) struct Compact {
    end: End,
    worker: WorkerId,
    times: StageTimes,
}

enum End {
    Done {
        outcomes: Box<[ImageOutcome]>,
        /// Positions of images, and the index of each one's outcome.
        positions: Box<[(u32, u32)]>,
    },
    Failed(JobFailure, String),
}

impl Compact {
    /// Compacts a result.
    pub(super) fn of(result: &PartResult) -> Self {
        let end = match &result.end {
            PartEnd::Done(list) => {
                let mut outcomes: Vec<ImageOutcome> = Vec::new();
                let mut positions = Vec::with_capacity(list.len());
                for (position, outcome) in list {
                    let known = outcomes.iter().position(|other| is_same_error(other, outcome));
                    let index = known.unwrap_or_else(|| {
                        outcomes.push(outcome.clone());
                        outcomes.len() - 1
                    });
                    positions.push((*position, u32::try_from(index).unwrap_or(u32::MAX)));
                }
                End::Done { outcomes: outcomes.into(), positions: positions.into() }
            }
            PartEnd::Failed(failure, detail) => End::Failed(*failure, detail.clone()),
        };
        Self { end, worker: result.worker.clone(), times: result.times }
    }

    /// Returns the result.
    pub(super) fn whole(&self) -> PartResult {
        let end = match &self.end {
            End::Done { outcomes, positions } => {
                let of = |(position, index): &(u32, u32)| {
                    Some((*position, outcomes.get(*index as usize)?.clone()))
                };
                PartEnd::Done(positions.iter().filter_map(of).collect())
            }
            End::Failed(failure, detail) => PartEnd::Failed(*failure, detail.clone()),
        };
        PartResult { end, worker: self.worker.clone(), times: self.times }
    }

    /// Returns its approximate memory.
    pub(super) fn bytes(&self) -> usize {
        let of_end = match &self.end {
            End::Done { outcomes, positions } => {
                size_of_val(&**positions) + outcomes.iter().map(bytes_of).sum::<usize>()
            }
            End::Failed(_, detail) => detail.len(),
        };
        // With its node in a tree.
        2 * size_of::<Self>() + of_end
    }
}

/// Outcomes with scores are not compared: they always differ.
fn is_same_error(one: &ImageOutcome, other: &ImageOutcome) -> bool {
    matches!(one, ImageOutcome::Rejected(_)) && one == other
}

fn bytes_of(outcome: &ImageOutcome) -> usize {
    // An allocated text takes some bytes more than its length.
    const TEXT: usize = 16;
    let labels = |list: &[crate::messages::LabelScore]| {
        list.iter().map(|score| size_of_val(score) + TEXT + score.label.len()).sum::<usize>()
    };
    size_of_val(outcome)
        + match outcome {
            ImageOutcome::Classified { best, scores, labels: reached } => {
                TEXT + best.label.len() + labels(scores) + reached.as_deref().map_or(0, labels)
            }
            ImageOutcome::Rejected(error) => 2 * TEXT + error.code.as_str().len() + error.detail.len(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{ImageError, ImageErrorCode, LabelScore};

    #[test]
    fn a_result_comes_back_as_it_was_and_the_same_errors_take_the_room_of_one() {
        let error = |detail: &str| {
            let detail = detail.repeat(20);
            ImageOutcome::Rejected(ImageError { code: ImageErrorCode::UndecodableImage, detail })
        };
        let best = LabelScore { label: "dog".to_owned(), score: 0.5 };
        let dog = ImageOutcome::Classified { best, scores: Vec::new(), labels: None };
        let result = |outcomes: Vec<ImageOutcome>| PartResult {
            end: PartEnd::Done((3..).zip(outcomes).collect()),
            worker: WorkerId::from("w".to_owned()),
            times: StageTimes::default(),
        };
        let mixed = result(vec![error("a"), dog.clone(), error("b"), error("a"), dog]);
        assert_eq!(Compact::of(&mixed).whole(), mixed);
        let same = Compact::of(&result(vec![error("it is no image, "); 1_024]));
        assert!(same.bytes() < 10_000, "{}", same.bytes());
    }
}
