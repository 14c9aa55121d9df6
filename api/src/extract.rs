//! Extractors whose rejections are problem documents.

use std::convert::Infallible;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use common::ids::{JobId, ModelName};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::{Code, Failure};
use crate::prefix::Prefix;
use crate::waiting::Preference;

/// The query string, parsed as `T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryOf<T>(pub T);

/// How the client wants its answer.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// Its `Prefer` header.
    pub preference: Preference,
    /// The path prefix of addresses in the answer.
    pub prefix: Prefix,
}

impl Manner {
    /// Reads it from the head of a request.
    pub(crate) fn of(parts: &Parts) -> Self {
        let prefix = parts.extensions.get().cloned().unwrap_or_default();
        Self { preference: Preference::of(&parts.headers), prefix }
    }
}

impl<S: Sync> FromRequestParts<S> for Manner {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// The query string of a route that has no parameters.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let why: String = rejection.body_text().chars().take(300).collect();
                Err(Failure::new(Code::InvalidQuery, why))
            }
        }
    }
}

/// The only parameter of a path, as text.
#[derive(Debug, Clone)]
pub(crate) struct Segment(Result<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(text)| text).map_err(|rejection| rejection.body_text())))
    }
}

impl Segment {
    /// The name of a model.
    pub(crate) fn model_name(&self) -> Result<ModelName, Failure> {
        match &self.0 {
            Ok(text) => model_name(text),
            Err(why) => Err(Failure::new(Code::InvalidModelName, why.clone())),
        }
    }

    /// The id of a prediction. An invalid id is an unknown prediction.
    pub(crate) fn job_id(&self) -> Result<JobId, Failure> {
        let text = self.0.as_deref().unwrap_or_default();
        text.parse().map_err(|_| Failure::unknown_prediction(text))
    }

    /// The generation of a rollout, if it is a number.
    pub(crate) fn number(&self) -> Option<u64> {
        self.0.as_ref().ok()?.parse().ok()
    }

    /// As the client wrote it, shortened for an error message.
    pub(crate) fn shown(&self) -> String {
        self.0.as_deref().unwrap_or_default().chars().take(64).collect()
    }
}

/// The name of a model.
pub(crate) fn model_name(text: &str) -> Result<ModelName, Failure> {
    ModelName::parse(text).map_err(|error| Failure::new(Code::InvalidModelName, error.to_string()))
}
