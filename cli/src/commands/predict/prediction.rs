//! One request until its end: waits while the queue is full, and polls after a `202`.

use std::time::{Duration, Instant};

use api::wire::predictions::ImageResult;
use api::wire::problem::Problem;

use crate::client::{Answer, Client, ClientError, Method, Refusal, StatusCode};

/// How long a status call waits for a change.
const POLL: Duration = Duration::from_secs(20);

/// The parameters of all requests.
#[derive(Debug)]
pub struct Question {
    /// The server.
    pub client: Client,
    /// A package other than the active one.
    pub model: Option<String>,
    /// Number of labels per image.
    pub top_k: Option<u32>,
    /// Timeout of a request.
    pub limit: Duration,
}

impl Question {
    /// Sends a body and waits for the results of its images.
    ///
    /// # Errors
    /// The server refused the request, ended it without results, or did neither in time.
    pub async fn ask(&self, body: &str) -> Result<Vec<ImageResult>, ClientError> {
        let until = Instant::now() + self.limit;
        let mut answer = self.submit(body, until).await?;
        while answer.status == StatusCode::ACCEPTED {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(refused("timeout", &format!("there was no answer within {:?}", self.limit)));
            }
            let location = answer.header("location").unwrap_or_default().to_owned();
            let wait = left.min(POLL).as_secs().max(1).to_string();
            answer = self.client.follow(Method::GET, &location).query("wait", &wait).send().await?;
        }
        results(&answer)
    }

    /// Retries until the request is accepted: a full queue may have room when the server's `Retry-After` is over.
    async fn submit(&self, body: &str, until: Instant) -> Result<Answer, ClientError> {
        loop {
            let mut call =
                self.client.call(Method::POST, &["classifier", "predictions"]).body(body.to_owned());
            if let Some(model) = &self.model {
                call = call.query("model", model);
            }
            if let Some(top_k) = self.top_k {
                call = call.query("top_k", &top_k.to_string());
            }
            match call.send().await {
                Err(ClientError::Refused(refusal)) => {
                    let pause = Duration::from_secs(refusal.retry_after.unwrap_or(1).max(1));
                    if !matches!(refusal.problem.status, 429 | 503) || Instant::now() + pause >= until {
                        return Err(ClientError::Refused(refusal));
                    }
                    tokio::time::sleep(pause).await;
                }
                other => return other,
            }
        }
    }
}

fn results(answer: &Answer) -> Result<Vec<ImageResult>, ClientError> {
    // If all images failed, `results` may be beside `detail` instead of under `response`.
    let inner = &answer.body["response"]["results"];
    let list = if inner.is_array() { inner } else { &answer.body["results"] };
    serde_json::from_value(list.clone())
        .map_err(|error| refused("unexpected_answer", &format!("the answer could not be read: {error}")))
}

fn refused(code: &str, detail: &str) -> ClientError {
    let problem = Problem { code: code.to_owned(), detail: detail.to_owned(), ..Problem::default() };
    ClientError::Refused(Refusal { problem: Box::new(problem), retry_after: None })
}
