//! Which model to serve: one of the models folder, another package, or a model without a package.

use std::net::SocketAddr;
use std::path::Path;

use common::ids::{JobId, ModelName};
use common::package::Catalog;

use super::Arguments;
use crate::commands::inspect::locate;
use crate::output;
use crate::unpackaged::{Served, is_package, understand};
use crate::usage::UsageError;

/// Which model to serve.
pub(super) struct Wanted {
    /// The models folder.
    pub(super) catalog: Catalog,
    /// The package to activate at the start.
    pub(super) model: Option<ModelName>,
    /// What to print below the address.
    pub(super) curl: Option<Curl>,
    /// A package that is removed at the end.
    served: Option<Served>,
}

impl Wanted {
    /// Finds out what the arguments ask for; `curl` is the call to print. Blocks on disk.
    ///
    /// # Errors
    /// There is no such model, or it does not say how its images are read.
    pub(super) fn of(arguments: &Arguments, curl: Option<Curl>) -> anyhow::Result<Self> {
        let Some(path) = &arguments.file else {
            let catalog = arguments.models.catalog()?;
            return Ok(Self { catalog, model: arguments.model.clone(), curl, served: None });
        };
        if let Some(package) = package(path, &arguments.models.models_dir) {
            if arguments.choices.any() {
                let shown = path.display();
                return Err(UsageError(format!(
                    "`{shown}` is a package, whose config says how it is served"
                ))
                .into());
            }
            let (catalog, model) = locate(&package, &arguments.models)?;
            return Ok(Self { catalog, model: Some(model), curl, served: None });
        }
        let served = understand(path, &arguments.choices)?.serve()?;
        let (catalog, model) = (served.catalog(), Some(served.name.clone()));
        Ok(Self { catalog, model, curl, served: Some(served) })
    }

    /// Prints what was understood of the model.
    ///
    /// # Errors
    /// stdout is closed.
    pub(super) fn tell(&self) -> std::io::Result<()> {
        let lines = self.served.iter().flat_map(|served| &served.understood);
        lines.map(String::as_str).try_for_each(output::line)
    }
}

/// What names the package at a path, or in the models folder where there is nothing at the path.
fn package(path: &Path, models: &Path) -> Option<String> {
    if is_package(path) {
        // With a slash it is a path.
        return Some(format!("{}/", path.to_str()?));
    }
    let name = path.to_str()?;
    let is_known = !path.exists() && !name.contains('/') && is_package(&models.join(name));
    is_known.then(|| name.to_owned())
}

/// A call that clients can copy.
#[derive(Debug, Clone)]
pub(super) struct Curl {
    /// The key as a shell has it, quoted.
    key: String,
}

/// Makes a key for a model that is served at once, if none is set. Returns the call with the key; none without a model.
pub(super) fn key(arguments: &mut Arguments) -> Option<Curl> {
    arguments.file.as_ref()?;
    let key = match arguments.api.api_keys.all() {
        [] => {
            // As hard to guess as a job's id has to be.
            let key = JobId::random().to_string();
            let Ok(keys) = key.parse();
            arguments.api.api_keys = keys;
            format!("'X-API-Key: {key}'")
        }
        [only] if only.client().is_none() => "\"X-API-Key: $X_API_KEY\"".to_owned(),
        _ => "'X-API-Key: ONE OF YOUR KEYS'".to_owned(),
    };
    Some(Curl { key })
}

impl Curl {
    /// The line that classifies an image.
    pub(super) fn line(&self, address: SocketAddr) -> String {
        let (key, port) = (&self.key, address.port());
        let host = match address.ip() {
            any if any.is_unspecified() => "localhost".to_owned(),
            _ => address.to_string().trim_end_matches(&format!(":{port}")).to_owned(),
        };
        format!("curl -H {key} -F image=@photo.jpg http://{host}:{port}/classifier/predictions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_goes_to_an_address_that_can_be_called() {
        let curl = Curl { key: "'X-API-Key: k'".to_owned() };
        for (address, host) in [
            ("[::]:5050", "localhost:5050"),
            ("0.0.0.0:80", "localhost:80"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            let line = curl.line(address.parse().unwrap());
            assert_eq!(
                line,
                format!("curl -H 'X-API-Key: k' -F image=@photo.jpg http://{host}/classifier/predictions")
            );
        }
    }
}
