//! Sample jobs, parts and results with a value in every field.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;

use common::fleet::{WorkerReport, WorkerState};
use common::ids::{Generation, JobId, ModelName, ModelVersion, WorkerId};
use common::messages::{
    EncodedImage, Idempotency, ImageError, ImageErrorCode, ImageOutcome, JobFailure, JobRecord, LabelScore,
    Part, PartEnd, PartId, PartResult, Payload, PinnedModel, StageTimes, Timestamp, WIRE_VERSION,
};

/// Returns a model.
///
/// # Panics
/// A deadline that never passes.
#[must_use]
pub fn model() -> PinnedModel {
    PinnedModel {
        name: ModelName::parse("animals_classifier_v0").expect("the name is valid"),
        version: ModelVersion::from_digest([0xab; 32]),
        generation: Generation(3),
    }
}

/// Returns a part of a job, with two images of a few bytes.
#[must_use]
pub fn part(job: JobId, index: u32) -> Part {
    let image = |position: u32| EncodedImage { position, bytes: Bytes::from(vec![7, 0, 255, 3]) };
    Part {
        wire: WIRE_VERSION,
        id: PartId { job, index },
        model: model(),
        accepted_at: Timestamp::now(),
        deadline: Timestamp::now().after(Duration::from_secs(60)),
        top_k: NonZeroU32::new(5),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        request_id: Some("request".to_owned()),
        client: None,
        payload: Payload::Images(vec![image(2 * index), image(2 * index + 1)]),
    }
}

/// Returns the images of a part.
#[must_use]
pub fn images(part: &Part) -> &[EncodedImage] {
    match &part.payload {
        Payload::Images(images) => images,
    }
}

/// Returns the images of a part, to change them.
pub fn images_mut(part: &mut Part) -> &mut Vec<EncodedImage> {
    match &mut part.payload {
        Payload::Images(images) => images,
    }
}

/// Returns a job of so many parts with two images each, with a deadline and a retention of a minute.
#[must_use]
pub fn record(parts: u32) -> JobRecord {
    JobRecord {
        id: JobId::random(),
        model: model(),
        accepted_at: Timestamp::now(),
        deadline: Timestamp::now().after(Duration::from_secs(60)),
        retention: Duration::from_secs(60),
        image_ids: (0..i64::from(parts) * 2).map(|id| id * 10).collect(),
        parts,
        top_k: NonZeroU32::new(5),
        idempotency: None,
        client: None,
        file_names: None,
    }
}

/// Returns the same with an idempotency key.
#[must_use]
pub fn keyed_record(parts: u32, key: &str, request: u8) -> JobRecord {
    let idempotency = Some(Idempotency { key: key.to_owned(), request: [request; 32] });
    JobRecord { idempotency, ..record(parts) }
}

/// Returns a result of a part from [`part`], with `label` for the first image and an error for the second.
#[must_use]
pub fn result(index: u32, label: &str) -> PartResult {
    let best = LabelScore { label: label.to_owned(), score: 0.75 };
    let scores = vec![best.clone(), LabelScore { label: "other".to_owned(), score: 0.25 }];
    let error = ImageError::new(ImageErrorCode::UndecodableImage, "image: no image");
    PartResult {
        end: PartEnd::Done(vec![
            (2 * index, ImageOutcome::Classified { best, scores, labels: None }),
            (2 * index + 1, ImageOutcome::Rejected(error)),
        ]),
        worker: WorkerId::random("host"),
        times: StageTimes { queue: 1, decode: 2, inference: 3 },
    }
}

/// Returns the result of a failed part.
#[must_use]
pub fn failed(failure: JobFailure) -> PartResult {
    PartResult {
        end: PartEnd::Failed(failure, "it did not work".to_owned()),
        worker: WorkerId::random("host"),
        times: StageTimes::default(),
    }
}

/// Returns a worker's report.
#[must_use]
pub fn report(host: &str, images_total: u64) -> WorkerReport {
    WorkerReport {
        id: WorkerId::from(host.to_owned()),
        host: host.to_owned(),
        state: WorkerState::Ready,
        device: "cpu".to_owned(),
        generation: Some(Generation(3)),
        loaded: Vec::new(),
        preparation: None,
        problem: None,
        found: None,
        clock_offset_ms: None,
        images_per_second: 1.5,
        parts_per_second: 0.5,
        images_total,
        started_at: Timestamp(1),
        reported_at: Timestamp(2),
    }
}
