//! Authentication: requests with a valid key pass, with their [`Caller`].

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::failure::{Code, Failure};
use crate::keys::{Caller, Role};

/// The header that carries the key.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// Lets a request with a valid key through, with its [`Caller`].
pub(crate) async fn require_key(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match key_of(request.headers()).and_then(|key| app.keys.caller(key)) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => Failure::new(Code::WrongApiKey, "wrong api key").into_response(),
    }
}

/// The key in `X-API-Key`, or in `Authorization: Bearer`.
fn key_of(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get(API_KEY_HEADER) {
        return Some(key.as_bytes());
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(|| Failure::internal("a route without a key asks for one"))
    }
}

/// Proof that the request may change the fleet and access dead letters.
#[derive(Debug, Clone)]
pub(crate) struct Admin(pub Caller);

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match caller.role {
            Role::Admin | Role::Peer => Ok(Self(caller)),
            Role::Client => Err(Failure::new(
                Code::AdminKeyRequired,
                "this key may predict and read, changing the fleet and dead letters need the key in \
                 X_ADMIN_API_KEY",
            )),
        }
    }
}
