//! One request of the load generator.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::wire::predictions::Predictions;

use crate::client::{Answer, Client, ClientError, Method, StatusCode};
use crate::images::{self, Numbered};

/// How long a status call waits for a change.
const POLL: Duration = Duration::from_secs(10);

/// What all requests share.
#[derive(Debug)]
pub struct Sender {
    /// The server.
    pub client: Client,
    /// The package that is requested by name.
    pub model: Option<String>,
    /// After this an accepted request counts as lost.
    pub limit: Duration,
    /// The newest generation of any answer so far.
    pub newest_generation: AtomicU64,
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub fate: Fate,
    /// The server's id of the prediction.
    pub prediction: Option<String>,
    /// Number of results beyond one per image.
    pub repeated_results: usize,
    /// From its scheduled time to its end.
    pub latency: Duration,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A result for every image, from the right model.
    Answered,
    /// A result for every image, from a model that should not have answered.
    WrongModel,
    /// Not accepted.
    Refused,
    /// An error.
    Failed(String),
    /// No answer.
    Lost(String),
}

impl Sender {
    /// Sends one request and follows it to its end.
    pub async fn send(&self, images: &[Numbered], scheduled: Instant) -> Ended {
        let known = self.newest_generation.load(Ordering::SeqCst);
        let mut ended =
            Ended { fate: Fate::Refused, prediction: None, repeated_results: 0, latency: Duration::ZERO };
        ended.fate = match self.answer(images, &mut ended.prediction).await {
            Ok(answer) => self.judge(&answer, images, known, &mut ended.repeated_results),
            Err(fate) => fate,
        };
        ended.latency = scheduled.elapsed();
        ended
    }

    async fn answer(&self, images: &[Numbered], prediction: &mut Option<String>) -> Result<Answer, Fate> {
        let until = Instant::now() + self.limit;
        let mut call =
            self.client.call(Method::POST, &["classifier", "predictions"]).body(images::body(images));
        if let Some(model) = &self.model {
            call = call.query("model", model);
        }
        let mut answer = call.send().await.map_err(|error| match error {
            ClientError::Refused(refusal) if matches!(refusal.problem.status, 429 | 503) => Fate::Refused,
            ClientError::Unreachable { .. } => Fate::Lost(error.to_string()),
            ClientError::Refused(_) | ClientError::WrongKey { .. } | ClientError::NotThisService { .. } => {
                Fate::Failed(error.to_string())
            }
        })?;
        *prediction = answer.header("x-prediction-id").map(str::to_owned);
        while answer.status == StatusCode::ACCEPTED {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fate::Lost(format!("accepted, without an answer after {:?}", self.limit)));
            }
            let location = answer.header("location").unwrap_or_default().to_owned();
            let wait = left.min(POLL).as_secs().max(1).to_string();
            match self.client.follow(Method::GET, &location).query("wait", &wait).send().await {
                Ok(next) => answer = next,
                // It was accepted: a server that is out of reach for a moment must still know it afterwards.
                Err(ClientError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(ClientError::Refused(refusal)) if refusal.problem.status == 404 => {
                    return Err(Fate::Lost(format!("accepted, then: {refusal}")));
                }
                Err(ClientError::Refused(refusal)) if refusal.problem.status == 503 => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(Fate::Failed(error.to_string())),
            }
        }
        Ok(answer)
    }

    /// Checks an answer: it needs a result for each image, from a model that may answer.
    fn judge(&self, answer: &Answer, images: &[Numbered], known: u64, repeated: &mut usize) -> Fate {
        let response: Predictions = match answer.response() {
            Ok(response) => response,
            Err(error) => return Fate::Failed(error.to_string()),
        };
        let has_label = |number: usize| {
            let mut results = response.results.iter().filter(|result| result.label.is_some());
            results.any(|result| usize::try_from(result.image_id) == Ok(number))
        };
        *repeated = response.results.len().saturating_sub(images.len());
        if !images.iter().all(|image| has_label(image.number)) {
            return Fate::Failed("an image has no label".to_owned());
        }
        if let Some(name) = &self.model {
            return if *name == response.model { Fate::Answered } else { Fate::WrongModel };
        }
        let generation = answer.header("x-model-generation").and_then(|text| text.parse::<u64>().ok());
        let generation = generation.unwrap_or(0);
        self.newest_generation.fetch_max(generation, Ordering::SeqCst);
        if generation < known { Fate::WrongModel } else { Fate::Answered }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use crate::client::HeaderMap;

    use super::*;

    fn sender(model: Option<&str>) -> Sender {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            server: crate::config::ServerConfig,
        }
        let server = Line::parse_from(["x", "--url", "http://127.0.0.1:1"]).server;
        Sender {
            client: Client::with_key(&server, "key").unwrap(),
            model: model.map(str::to_owned),
            limit: Duration::from_secs(1),
            newest_generation: 0.into(),
        }
    }

    fn judge(sender: &Sender, generation: u64, ids: &[usize], known: u64) -> (Fate, usize) {
        let results: Vec<_> =
            ids.iter().map(|id| json!({"image_id": id, "label": "a", "max_score": 1})).collect();
        let headers = HeaderMap::from_iter([("x-model-generation".parse().unwrap(), generation.into())]);
        let body = json!({"response": {"model": "digits", "results": results}});
        let answer = Answer { status: StatusCode::OK, headers, body };
        let images: Vec<_> = (7..9).map(|number| Numbered { number, bytes: [].into() }).collect();
        let mut repeated = 0;
        (sender.judge(&answer, &images, known, &mut repeated), repeated)
    }

    #[test]
    fn an_older_generation_than_was_known_when_it_was_sent_is_wrong() {
        let sender = sender(None);
        assert_eq!(judge(&sender, 2, &[7, 8], 0).0, Fate::Answered);
        assert_eq!(sender.newest_generation.load(Ordering::SeqCst), 2);
        assert_eq!(judge(&sender, 1, &[7, 8], 2).0, Fate::WrongModel);
        // It was sent before the newer generation had answered: the older one is right.
        assert_eq!(judge(&sender, 1, &[7, 8], 1).0, Fate::Answered);
    }

    #[test]
    fn a_request_by_name_is_wrong_when_another_package_answers() {
        assert_eq!(judge(&sender(Some("digits")), 1, &[7, 8], 5).0, Fate::Answered);
        assert_eq!(judge(&sender(Some("other")), 1, &[7, 8], 0).0, Fate::WrongModel);
    }

    #[test]
    fn missing_and_repeated_results_are_seen() {
        assert!(matches!(judge(&sender(None), 1, &[7], 0).0, Fate::Failed(_)));
        assert_eq!(judge(&sender(None), 1, &[7, 8, 8], 0), (Fate::Answered, 1));
    }
}
