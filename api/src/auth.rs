//! Who may do what: the keys of the API.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::app::App;
use crate::config::{Config, Keys};
use crate::error::{ApiError, Code};

/// The header that carries the key.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Predict and read.
    Client,
    /// Change the fleet as well.
    Admin,
}

/// The keys that are valid, as digests: two digests compare in a time that tells nothing of the keys, not
/// even their length.
#[derive(Clone)]
pub(crate) struct KeyRing {
    clients: Vec<[u8; 32]>,
    admins: Vec<[u8; 32]>,
}

impl KeyRing {
    /// The keys of the settings; none if there is no key for clients.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let clients = digests(&config.api_keys);
        if clients.is_empty() {
            return None;
        }
        Some(Self { clients, admins: digests(&config.admin_api_keys) })
    }

    /// What this key may do; none if it is not valid.
    pub(crate) fn role(&self, key: &[u8]) -> Option<Role> {
        let digest = digest(key);
        let (client, admin) = (holds(&self.clients, &digest), holds(&self.admins, &digest));
        if bool::from(admin) {
            Some(Role::Admin)
        } else if bool::from(client) {
            Some(if self.admins.is_empty() { Role::Admin } else { Role::Client })
        } else {
            None
        }
    }
}

fn digests(keys: &Keys) -> Vec<[u8; 32]> {
    keys.as_slice().iter().map(|key| digest(key.as_bytes())).collect()
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Looks at every key, whichever fits.
fn holds(keys: &[[u8; 32]], digest: &[u8; 32]) -> Choice {
    keys.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(digest))
}

/// Lets a request with a valid key through, with its [`Role`].
pub(crate) async fn require_key(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match role_of(&app.keys, request.headers()) {
        Some(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        None => ApiError::new(Code::WrongApiKey, "wrong api key").into_response(),
    }
}

fn role_of(keys: &KeyRing, headers: &HeaderMap) -> Option<Role> {
    headers.get(API_KEY_HEADER).and_then(|key| keys.role(key.as_bytes()))
}

/// Proof that the request may change the fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Role>() {
            Some(Role::Admin) => Ok(Self),
            Some(Role::Client) | None => Err(ApiError::new(
                Code::AdminKeyRequired,
                "this key may predict and read, changing the fleet needs the key in X_ADMIN_API_KEY",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(clients: &str, admins: &str) -> KeyRing {
        let digests = |text: &str| digests(&text.parse().unwrap());
        KeyRing { clients: digests(clients), admins: digests(admins) }
    }

    #[test]
    fn every_one_of_several_keys_is_valid() {
        let ring = ring("old,new", "");
        assert_eq!(ring.role(b"old"), Some(Role::Admin));
        assert_eq!(ring.role(b"new"), Some(Role::Admin));
        for wrong in [&b"old,new"[..], b"ol", b"", b"\xff"] {
            assert_eq!(ring.role(wrong), None);
        }
    }

    #[test]
    fn an_admin_key_takes_the_fleet_from_the_others() {
        let ring = ring("key", "root");
        assert_eq!(ring.role(b"key"), Some(Role::Client));
        assert_eq!(ring.role(b"root"), Some(Role::Admin));
    }
}
