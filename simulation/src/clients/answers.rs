//! Checks answers.

use common::ids::JobId;

use super::{Client, Tried};
use crate::engine::label;
use crate::plan::{MODELS, What};
use crate::process::{Answer, JOB_DEADLINE};

impl Client {
    /// Checks an answer to the request itself.
    pub(super) fn posted(&self, answer: Answer, sent: u64, none_active: bool) -> Tried {
        let now = self.world.trace.elapsed();
        let promises = &self.world.promises;
        let status = answer.status.as_u16();
        if status >= 400 {
            promises.count(|counts| counts.refusals += 1);
        }
        match status {
            200 | 202 => match job_of(&answer) {
                Some(job) => return Tried::Accepted(job, answer),
                None => self.violation("an answer does not name its prediction"),
            },
            422 if answer.code() == "no_active_model" => {
                let active = self.world.store.state().fleet().value.active.is_some();
                if !none_active && active && !promises.forgot(sent.saturating_sub(20_000), now) {
                    self.violation("no model was active, said the answer, and one was");
                }
                return Tried::Again;
            }
            429 => {
                if !self.world.broker.was_full_since(sent) {
                    self.violation("the queue was full, said the answer, and was not");
                }
                return Tried::Again;
            }
            409 if self.asked.key.is_some() => return Tried::Again,
            404 if promises.forgot(sent, now) || self.asked.key.is_some() => {}
            // The fleet's first model is still loading.
            503 if answer.code() == "model_loading" && none_active => return Tried::Again,
            503 => {
                self.excused(&answer, sent);
                return Tried::Again;
            }
            // Of an earlier try with the same key.
            504 if self.asked.key.is_some() => {}
            _ => self.unexpected("POST", &answer),
        }
        Tried::Over
    }

    pub(super) fn deleted(&self, answer: &Answer, sent: u64) {
        match answer.status.as_u16() {
            204 | 404 => {}
            503 => self.excused(answer, sent),
            _ => self.unexpected("DELETE", answer),
        }
    }

    /// Returns whether a poll's answer is the job's end.
    pub(super) fn is_final(&self, answer: &Answer, sent: u64) -> bool {
        match (answer.status.as_u16(), answer.code()) {
            (202, _) => false,
            (503, code) if code != "model_unavailable" => {
                self.excused(answer, sent);
                false
            }
            _ => true,
        }
    }

    /// Notes the job's final answer.
    pub(super) fn ended(&self, job: JobId, since: u64, answer: &Answer) {
        let now = self.world.trace.elapsed();
        let promises = &self.world.promises;
        match answer.status.as_u16() {
            200 => self.results(job, answer),
            404 if promises.forgot(since.saturating_sub(60_000), now) => {}
            504 => self.expired(job),
            503 => self.excused(answer, since),
            _ => self.unexpected("the end", answer),
        }
    }

    /// Compares two answers of one job.
    pub(super) fn same(&self, first: &Answer, again: &Answer, (since, sent): (u64, u64)) {
        let now = self.world.trace.elapsed();
        let promises = &self.world.promises;
        let replayed = self.world.plan.orders.iter().any(|order| order.what == What::Replay);
        let (one, other) = (first.status.as_u16(), again.status.as_u16());
        if promises.forgot(since.saturating_sub(60_000), now) && one != 200 {
            return;
        }
        if promises.forgot(since.saturating_sub(60_000), now) && other != 200 {
            return;
        }
        if other == 503 && again.code() != "model_unavailable" {
            return self.excused(again, sent);
        }
        if one == other && first.body["response"] == again.body["response"] {
            return;
        }
        if !(replayed && one != 200) {
            let what = format!("an answer changed from {one} {} to {other} {}", first.body, again.body);
            self.violation(&what);
        }
    }

    fn results(&self, job: JobId, answer: &Answer) {
        let response = &answer.body["response"];
        let name = response["model"].as_str().unwrap_or_default();
        let pinned = self.world.promises.model_of(job);
        let version = answer.headers.get("x-model-version").and_then(|value| value.to_str().ok());
        if pinned.is_none_or(|model| model.name.as_str() != name || version != Some(model.version.as_str())) {
            self.violation(&format!("model {name} answered, which the job was not accepted for"));
        }
        if self.asked.model.is_some_and(|asked| MODELS[asked] != name) {
            self.violation(&format!("model {name} answered, and another was asked for"));
        }
        let Some(model) = MODELS.iter().position(|known| *known == name) else {
            return self.violation("an unknown model answered");
        };
        let results = response["results"].as_array().map_or(&[][..], Vec::as_slice);
        if results.len() != self.asked.images.len() {
            self.violation("there are not as many results as images");
        }
        for ((result, image), id) in results.iter().zip(&self.asked.images).zip(self.first_id()..) {
            if result["error"]["code"] == "image_crashed_worker" && self.world.promises.excuses_blame() {
                continue;
            }
            let expected = label(model, *image);
            if result["image_id"] != id || result["label"] != expected.as_str() {
                self.violation(&format!("image {image} of model {name} has {result}, expected {expected}"));
            }
        }
        self.world.promises.count(|counts| counts.images += results.len() as u64);
    }

    /// A refusal needs a reason, and a `Retry-After`.
    fn excused(&self, answer: &Answer, sent: u64) {
        let now = self.world.trace.elapsed();
        if !answer.headers.contains_key("retry-after") && answer.code() != "model_unavailable" {
            self.violation(&format!("503 {} does not say when to come again", answer.code()));
        }
        if !self.world.promises.excuses_failure(sent, now) {
            self.violation(&format!("503 {} without a fault", answer.body));
        }
    }

    fn expired(&self, job: JobId) {
        let Some(accepted) = self.world.promises.accepted_at(job) else {
            return self.violation("a job met its deadline that was never accepted");
        };
        let deadline = accepted + u64::try_from(JOB_DEADLINE.as_millis()).unwrap_or(0);
        // A job may be some calls older than its record in the store.
        if self.world.trace.elapsed() + 15_000 < deadline {
            self.violation("a job met its deadline before its time");
        } else if !self.world.promises.excuses_deadline(accepted, deadline) {
            self.violation("the deadline passed although a worker could have done it");
        }
    }

    /// Notes that there was no answer for a long time.
    pub(super) fn hung(&self, sent: u64, what: &str) {
        let now = self.world.trace.elapsed();
        if !self.world.promises.was_still(sent, now) {
            self.violation(&format!("{what} was never answered"));
        }
    }

    fn unexpected(&self, what: &str, answer: &Answer) {
        self.violation(&format!("{what} was answered {} {}", answer.status, answer.body));
    }
}

/// Returns the prediction's id in an answer.
fn job_of(answer: &Answer) -> Option<JobId> {
    let header = answer.headers.get("x-prediction-id").and_then(|value| value.to_str().ok());
    let document = answer.body["response"]["prediction_id"].as_str();
    header.or(document)?.parse().ok()
}
