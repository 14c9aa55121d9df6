//! Runs one batch through the engine, so that an error of one image affects only that image.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use common::telemetry::names;

use super::{Formed, Ticket, count};
use crate::panics;
use crate::served::ServedModel;
use engine::{Batch, EngineError, Scores};

/// Runs a batch and answers every ticket, unless no caller waits for any. If the model fails on several images
/// together, each is tried once alone. `alone` is [`Batch::alone`].
pub(super) fn run(formed: Formed<Ticket>, alone: bool) {
    let Formed { pixels, tickets, .. } = formed;
    let Some(first) = tickets.iter().find(|ticket| is_awaited(ticket)) else { return };
    let model = Arc::clone(&first.model);
    let shape = model.package.config.preprocessing.input_shape;
    let started = Instant::now();
    for ticket in &tickets {
        metrics::histogram!(names::BATCH_WAIT_SECONDS).record(started - ticket.since);
    }
    let batch = Batch { alone, ..Batch::new(tickets.len(), shape, pixels) };
    match call(&model, &batch) {
        Ok(scores) => {
            for (ticket, values) in tickets.into_iter().zip(scores.values.chunks_exact(scores.classes)) {
                reply(ticket, Ok(values.to_vec()));
            }
        }
        Err(error) if batch.images == 1 => {
            tickets.into_iter().for_each(|ticket| reply(ticket, Err(error.clone())));
        }
        Err(error) => {
            tracing::warn!(images = batch.images, %error, "the model failed on a batch, its images are tried alone");
            let size = shape.iter().product::<usize>();
            let waiting = tickets.into_iter().enumerate();
            for (image, ticket) in waiting.filter(|(_, ticket)| is_awaited(ticket)) {
                let pixels = batch.pixels.part(image * size..(image + 1) * size);
                let alone = Batch::new(1, shape, pixels);
                reply(ticket, call(&model, &alone).map(|scores| scores.values));
            }
        }
    }
}

/// Returns whether the caller still waits: a worker that is torn down leaves images behind.
fn is_awaited(ticket: &Ticket) -> bool {
    !ticket.reply.is_closed()
}

fn reply(ticket: Ticket, answer: Result<Vec<f32>, EngineError>) {
    let Ticket { reply, occupant, .. } = ticket;
    // First, so that an image that follows the answer does not overlap with this one.
    drop(occupant);
    // An error means that the caller has gone.
    let _ = reply.send(answer);
}

/// Calls the model and checks the number of its scores. A panic is an error like any other.
pub(super) fn call(model: &ServedModel, batch: &Batch) -> Result<Scores, EngineError> {
    model.meters.batch_images.record(count(batch.images));
    metrics::gauge!(names::ENGINE_BUSY).increment(1.0);
    let started = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| model.engine.predict(batch)));
    model.meters.inference.record(started.elapsed());
    metrics::gauge!(names::ENGINE_BUSY).decrement(1.0);
    let answer = answer
        .unwrap_or_else(|panic| Err(EngineError(format!("the engine panicked: {}", panics::text(&*panic)))))
        .and_then(|scores| match scores.classes.checked_mul(batch.images) {
            Some(expected) if expected > 0 && expected == scores.values.len() => Ok(scores),
            Some(_) | None => Err(EngineError(format!(
                "the model gave {} scores for {} images, expected {} for each",
                scores.values.len(),
                batch.images,
                scores.classes
            ))),
        });
    if answer.is_err() {
        model.meters.failures.increment(1);
    }
    answer
}
