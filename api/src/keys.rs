//! The API's keys and their clients.

use std::fmt;

use common::ids::ClientName;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::config::{Config, Keys};

/// The rights of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Predict and read: there is an admin key, and this is not one.
    Client,
    /// Also change the fleet, because no admin key is configured. Other clients' predictions stay hidden.
    Peer,
    /// Everything: it is an admin key.
    Admin,
}

/// The client of a request and its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its rights.
    pub role: Role,
    /// The client. All keys without a name are one client.
    pub client: Option<ClientName>,
}

impl Caller {
    /// Returns whether the caller owns this, or is an admin.
    pub(crate) fn looks_after(&self, client: Option<&ClientName>) -> bool {
        self.role == Role::Admin || self.client.as_ref() == client
    }
}

/// As the log shows it.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.client.as_ref().map_or("a key without a name", ClientName::as_str);
        match self.role {
            Role::Admin => write!(f, "{name} (admin)"),
            Role::Client | Role::Peer => f.write_str(name),
        }
    }
}

/// The valid keys, as digests: comparing two digests takes the same time for all keys and lengths.
#[derive(Clone)]
pub(crate) struct KeyRing {
    keys: Vec<(Digested, Caller)>,
}

type Digested = [u8; 32];

impl KeyRing {
    /// Reads the keys of the settings. Returns `None` without a key for clients.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        Self::of(&config.api_keys, &config.admin_api_keys)
    }

    fn of(clients: &Keys, admins: &Keys) -> Option<Self> {
        let role = if admins.all().is_empty() { Role::Peer } else { Role::Client };
        let with = |keys: &Keys, role| {
            let callers = keys
                .all()
                .iter()
                .map(|key| (digest(key.secret().as_bytes()), Caller { role, client: key.client().cloned() }));
            callers.collect::<Vec<_>>()
        };
        // If a key is listed twice, the later entry counts.
        let keys = [with(clients, role), with(admins, Role::Admin)].concat();
        (!clients.all().is_empty()).then_some(Self { keys })
    }

    /// Returns the key's client, or `None` if the key is invalid. Always compares with all keys.
    pub(crate) fn caller(&self, key: &[u8]) -> Option<Caller> {
        let digest = digest(key);
        let mut found = 0_u32;
        for (number, (known, _)) in (1_u32..).zip(&self.keys) {
            found.conditional_assign(&number, known.ct_eq(&digest));
        }
        let index = found.checked_sub(1)? as usize;
        self.keys.get(index).map(|(_, caller)| caller.clone())
    }
}

fn digest(key: &[u8]) -> Digested {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(ring: &KeyRing, key: &[u8]) -> Option<(Role, Option<String>)> {
        ring.caller(key).map(|caller| (caller.role, caller.client.map(|name| name.to_string())))
    }

    fn ring(clients: &str, admins: &str) -> KeyRing {
        KeyRing::of(&clients.parse().unwrap(), &admins.parse().unwrap()).unwrap()
    }

    #[test]
    fn every_one_of_several_keys_is_valid() {
        let ring = ring("old,new,app:third", "");
        assert_eq!(role(&ring, b"old"), Some((Role::Peer, None)));
        assert_eq!(role(&ring, b"new"), Some((Role::Peer, None)));
        assert_eq!(role(&ring, b"third"), Some((Role::Peer, Some("app".to_owned()))));
        for wrong in [&b"old,new"[..], b"ol", b"", b"\xff", b"app:third", b"app"] {
            assert_eq!(role(&ring, wrong), None);
        }
    }

    #[test]
    fn an_admin_key_takes_the_fleet_from_the_others() {
        let ring = ring("key,both", "root,ops:both");
        assert_eq!(role(&ring, b"key"), Some((Role::Client, None)));
        assert_eq!(role(&ring, b"root"), Some((Role::Admin, None)));
        assert_eq!(role(&ring, b"both"), Some((Role::Admin, Some("ops".to_owned()))));
    }

    #[test]
    fn a_caller_looks_after_its_own_and_an_admin_after_everything() {
        let ring = ring("a:1,b:2,3", "");
        let (a, none) = (ring.caller(b"1").unwrap(), ring.caller(b"3").unwrap());
        assert!(a.looks_after(a.client.as_ref()) && none.looks_after(None));
        assert!(!a.looks_after(None) && !none.looks_after(a.client.as_ref()));
        let admin = Caller { role: Role::Admin, client: None };
        assert!(admin.looks_after(a.client.as_ref()) && admin.looks_after(None));
    }
}
