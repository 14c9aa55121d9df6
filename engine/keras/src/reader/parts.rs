//! Reads layers that hold others, and locates the weights of those.

use serde_json::Value;

use super::{Declared, Reader, channels_last, shown};
use crate::architecture::class_of;
use crate::shapes::Sizes;

/// Where an archive keeps a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// In a folder below the layer's own. Each part of its path has the names that versions of Keras gave it. An empty path
    /// is the layer's own folder.
    Within(Vec<&'static [&'static str]>),
    /// In a folder whose weights inference does not need.
    AmongUnneeded,
}

/// The attribute under which a wrapper holds its layer.
const WRAPPED: &[&str] = &["layer"];

impl<'a> Reader<'a> {
    /// Declares the weights that `read` declares for the layer `owner` inside this one. An archive keeps them in `folder`.
    pub(crate) fn within<T>(
        &mut self,
        owner: &'static str,
        folder: &'static [&'static str],
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.folder.push(folder);
        let outer = self.owner.replace(owner);
        let result = read(self);
        self.owner = outer;
        self.folder.pop();
        result
    }

    /// Declares a weight that inference does not need, of a layer that has no other weights of its own.
    pub(crate) fn unneeded_alone(&mut self, names: &'static [&'static str], shape: &[Option<usize>]) {
        self.unneeded(names, shape);
        if let Some(declared) = self.declared.last_mut() {
            declared.location = Location::AmongUnneeded;
        }
    }

    /// Reads the layer under `layer` in a wrapper's config, called on an input of this shape, with the function that reads
    /// layers by their class. Its faults become faults of this layer.
    pub(crate) fn wrapped<T>(
        &mut self,
        input: Option<Sizes>,
        read: impl FnOnce(&str, &mut Reader) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.value("layer") else {
            self.fault("its config has no `layer`");
            return None;
        };
        let (Some(class), Some(config)) = (class_of(value), value.get("config").and_then(Value::as_object))
        else {
            self.fault(format!("`layer` is {}, expected a layer with its config", shown(value)));
            return None;
        };
        let inputs = channels_last(config, &[input]);
        let mut inner = Reader::new(self.dialect, config, &inputs, None);
        inner.given = self.given.clone();
        let layer = read(&class, &mut inner);
        let taken = inner.declared.len();
        self.unsure |= inner.unsure;
        let reading = inner.finish();
        self.given.iter_mut().for_each(|given| *given = given.as_slice()[taken.min(given.len())..].iter());
        for mut declared in reading.declared.into_iter().flatten() {
            self.adopt(&mut declared);
            self.declared.push(declared);
        }
        self.problems.extend(reading.problems.into_iter().map(|problem| format!("`{class}`: {problem}")));
        if layer.is_none() {
            self.fault(format!("it wraps a `{class}`, which is not supported there"));
        }
        layer
    }

    /// Makes a wrapped layer's weight one of this layer.
    fn adopt(&self, declared: &mut Declared) {
        if let Location::Within(inner) = &declared.location {
            let folders = self.folder.iter().chain([&WRAPPED]).chain(inner).copied();
            declared.location = Location::Within(folders.collect());
        }
    }
}
