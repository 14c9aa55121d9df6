//! Clients: their requests, and checks of the answers.

mod answers;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::ids::JobId;
use serde_json::{Value, json};
use tokio::time::{sleep, sleep_until};

use crate::engine::image;
use crate::plan::{MODELS, Request};
use crate::process::{Answer, JOB_DEADLINE, NoReply, request};
use crate::promises::BY_NAME;
use crate::world::World;

/// How much longer than its requested wait a client waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client with one request, from the first try to the last poll.
pub struct Client {
    world: Arc<World>,
    asked: Request,
    number: usize,
}

/// The result of a try.
enum Tried {
    /// The job's id is known.
    Accepted(JobId, Answer),
    /// It may be retried.
    Again,
    /// It may not be retried.
    Over,
}

impl Client {
    /// Creates the client with this number.
    #[must_use]
    pub fn new(world: &Arc<World>, number: usize) -> Self {
        Self { world: Arc::clone(world), asked: world.plan.requests[number].clone(), number }
    }

    /// Retries until the answer is known, or there is none.
    pub async fn run(self) {
        sleep_until(self.world.trace.moment(self.asked.at)).await;
        let mut first = None;
        for attempt in 0..4 {
            match self.try_once(self.asked.api + attempt).await {
                Tried::Accepted(job, answer) => {
                    first = Some((job, answer));
                    break;
                }
                Tried::Again => sleep(Duration::from_secs(2)).await,
                Tried::Over => return,
            }
        }
        let Some((job, answer)) = first else { return };
        let since = self.world.trace.elapsed();
        if let Some(after) = self.asked.cancel {
            sleep(after).await;
            return self.cancel(job).await;
        }
        if self.asked.key.is_some() {
            self.ask_twice(job, since).await;
        }
        let answer = if answer.status == 202 { self.poll(job, since).await } else { Some(answer) };
        if let Some(answer) = answer {
            self.ended(job, since, &answer);
            sleep(Duration::from_secs(4)).await;
            self.look_again(job, since, &answer).await;
        }
    }

    async fn try_once(&self, api: usize) -> Tried {
        let sent = self.world.trace.elapsed();
        let none_active = self.world.store.state().fleet().value.active.is_none();
        let path = self.asked.model.map_or_else(
            || "/classifier/predictions".to_owned(),
            |model| format!("/classifier/predictions?model={}", MODELS[model]),
        );
        let prefer = format!("wait={}", self.asked.wait);
        let key = self.asked.key.map(|key| key.to_string());
        let mut headers = vec![("prefer", prefer.as_str())];
        headers.extend(key.as_deref().map(|key| ("idempotency-key", key)));
        let patience = PATIENCE + Duration::from_secs(self.asked.wait);
        let post = request("POST", &path, &headers, Some(&self.document()));
        let answer = self.world.api(api).ask(post, patience).await;
        self.note("POST", api, &answer);
        match answer {
            Ok(answer) => self.posted(answer, sent, none_active),
            Err(NoReply::Lost) => Tried::Again,
            Err(NoReply::Late) => {
                self.hung(sent, "POST");
                Tried::Again
            }
        }
    }

    /// Repeats the request with the same key through another process: it must give the same job.
    async fn ask_twice(&self, job: JobId, since: u64) {
        sleep(Duration::from_secs(1)).await;
        let Tried::Accepted(other, _) = self.try_once(self.asked.api + 1).await else { return };
        let now = self.world.trace.elapsed();
        if other != job && !self.world.promises.forgot(since.saturating_sub(60_000), now) {
            self.violation("one idempotency key made two jobs");
        }
    }

    async fn cancel(&self, job: JobId) {
        let path = format!("/classifier/predictions/{job}");
        let sent = self.world.trace.elapsed();
        let answer = self.world.api(self.asked.api).ask(request("DELETE", &path, &[], None), PATIENCE).await;
        self.note("DELETE", self.asked.api, &answer);
        match answer {
            Ok(answer) => self.deleted(&answer, sent),
            Err(NoReply::Lost) => {}
            Err(NoReply::Late) => self.hung(sent, "DELETE"),
        }
    }

    /// Polls one process after the other until the job has ended.
    async fn poll(&self, job: JobId, since: u64) -> Option<Answer> {
        let deadline = u64::try_from(JOB_DEADLINE.as_millis()).unwrap_or(0);
        let path = format!("/classifier/predictions/{job}?wait=5");
        for turn in 1.. {
            let sent = self.world.trace.elapsed();
            if sent > since.max(self.world.plan.calm_from()) + 2 * deadline {
                self.violation("the job never ended");
                return None;
            }
            let api = self.asked.api + turn;
            let answer = self.world.api(api).ask(request("GET", &path, &[], None), PATIENCE).await;
            self.note("GET", api, &answer);
            match answer {
                Ok(answer) if self.is_final(&answer, sent) => return Some(answer),
                Ok(_) | Err(NoReply::Lost) => {}
                Err(NoReply::Late) => self.hung(sent, "GET"),
            }
            sleep(Duration::from_secs(1)).await;
        }
        None
    }

    /// The answer must be the same at every poll of every process.
    async fn look_again(&self, job: JobId, since: u64, answer: &Answer) {
        let path = format!("/classifier/predictions/{job}");
        let sent = self.world.trace.elapsed();
        let api = self.asked.api + 1;
        let again = self.world.api(api).ask(request("GET", &path, &[], None), PATIENCE).await;
        self.note("GET again", api, &again);
        if let Ok(again) = again {
            self.same(answer, &again, (since, sent));
        }
    }

    /// The request's document.
    fn document(&self) -> Value {
        let images = self.asked.images.iter().zip(self.first_id()..);
        let images: Vec<Value> = images
            .map(|(number, id)| json!({"image_id": id, "img_base64": STANDARD.encode(image(*number))}))
            .collect();
        json!({"images": images})
    }

    fn first_id(&self) -> i64 {
        if self.asked.model.is_some() { BY_NAME } else { 0 }
    }

    fn note(&self, what: &str, api: usize, answer: &Result<Answer, NoReply>) {
        self.world.trace.note(|| {
            let apis = self.world.plan.apis;
            let answer = match answer {
                Ok(answer) => format!("{} {}", answer.status.as_u16(), answer.code()),
                Err(none) => format!("{none:?}"),
            };
            format!("c{}: {what} through a{}: {answer}", self.number, api % apis)
        });
    }

    fn violation(&self, what: &str) {
        self.world.trace.violation(&format!("c{}: {what}", self.number));
    }
}
