//! Keys with the names of their clients, and the models that clients may request.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use common::ids::{ClientName, InvalidName, ModelName};

/// Keys. Their debug output hides them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<Key>,
    /// Problems of keys that could not be parsed; never the keys themselves.
    problems: Vec<String>,
}

/// One key and its client.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    client: Option<ClientName>,
    secret: String,
}

impl Key {
    /// The client that holds it. All keys without a name belong to one client.
    #[must_use]
    pub fn client(&self) -> Option<&ClientName> {
        self.client.as_ref()
    }

    /// The secret that clients send.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Parses `NAME:KEY`, `KEY`, or `:KEY` for a key without a name that contains a colon.
    fn parse(text: &str) -> Result<Self, String> {
        let (client, secret) = match text.split_once(':') {
            None => (None, text),
            Some(("", secret)) => (None, secret),
            Some((name, secret)) => {
                let name = ClientName::parse(name.trim()).map_err(|error| {
                    format!("{error}; a key without a name that holds a colon is written `:KEY`")
                })?;
                (Some(name), secret)
            }
        };
        let secret = secret.trim().to_owned();
        if secret.is_empty() {
            Err("nothing follows its name".to_owned())
        } else {
            Ok(Self { client, secret })
        }
    }
}

impl Keys {
    /// Returns the keys, none of them empty.
    #[must_use]
    pub fn all(&self) -> &[Key] {
        &self.keys
    }

    /// Returns the problems of the keys in this variable.
    pub(super) fn problems(&self, variable: &str) -> Vec<String> {
        self.problems.iter().map(|problem| format!("{variable}: {problem}")).collect()
    }
}

impl FromStr for Keys {
    /// Parsing never fails: clap's error would show the keys. Problems are reported with the other settings.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut read = Self::default();
        let parts = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        for (number, part) in (1..).zip(parts) {
            match Key::parse(part) {
                Ok(key) if read.keys.iter().any(|k| k.secret == key.secret && k.client != key.client) => {
                    read.problems.push(format!("key {number} is another client's as well"));
                }
                Ok(key) => read.keys.push(key),
                Err(problem) => read.problems.push(format!("key {number}: {problem}")),
            }
        }
        Ok(read)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.keys.len())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key of {:?}", self.client)
    }
}

/// The packages that clients may request, besides those that a swap made active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientModels {
    /// All packages.
    All,
    /// These packages.
    Listed(Vec<ModelName>),
}

impl ClientModels {
    /// Returns whether clients may request this package.
    pub(crate) fn has(&self, name: &ModelName) -> bool {
        match self {
            Self::All => true,
            Self::Listed(names) => names.contains(name),
        }
    }
}

impl FromStr for ClientModels {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self::Listed(names.map(ModelName::parse).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Option<String>, String)> {
        let keys: Keys = text.parse().unwrap();
        let of = |key: &Key| (key.client().map(ToString::to_string), key.secret().to_owned());
        keys.all().iter().map(of).collect()
    }

    #[test]
    fn keys_are_separated_by_commas_and_never_shown() {
        let expected = [(None, "one".to_owned()), (None, "two".to_owned())];
        assert_eq!(read(" one , ,two,"), expected);
        assert_eq!(format!("{:?}", "one,two".parse::<Keys>().unwrap()), "2 keys");
    }

    #[test]
    fn a_key_may_have_a_name_before_a_colon() {
        let named = |name: &str, key: &str| (Some(name.to_owned()), key.to_owned());
        assert_eq!(
            read("mobile:a, mobile : b,batch-2:c:d,:e:f,g"),
            [
                named("mobile", "a"),
                named("mobile", "b"),
                named("batch-2", "c:d"),
                (None, "e:f".to_owned()),
                (None, "g".to_owned())
            ]
        );
    }

    #[test]
    fn keys_that_cannot_be_read_are_told_without_showing_them() {
        for (text, problem) in [
            ("good,my secret:key", "key 2: the name of a client is not valid"),
            ("mobile:", "key 1: nothing follows its name"),
            ("a:secret,b:secret", "key 2 is another client's as well"),
        ] {
            let problems = text.parse::<Keys>().unwrap().problems("X_API_KEY");
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].starts_with(&format!("X_API_KEY: {problem}")), "{problems:?}");
            assert!(!problems[0].contains("secret"), "{problems:?}");
        }
    }

    #[test]
    fn packages_for_clients_are_listed_or_all() {
        let pets = ModelName::parse("pets").unwrap();
        assert!("all".parse::<ClientModels>().unwrap().has(&pets));
        assert!("cats, pets".parse::<ClientModels>().unwrap().has(&pets));
        assert!(!"".parse::<ClientModels>().unwrap().has(&pets));
        assert!("../x".parse::<ClientModels>().is_err());
    }
}
