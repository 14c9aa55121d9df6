//! The models in memory: their roles, and which of them are evicted.

use std::collections::HashMap;
use std::sync::Arc;

use common::fleet::{LoadedModel, ModelRole};
use tokio::time::Instant;

use super::Key;
use crate::served::ServedModel;

/// The loaded models, and which models the fleet wants, loaded or not.
#[derive(Default)]
pub(super) struct Cache {
    active: Option<Key>,
    prepared: Option<Key>,
    entries: HashMap<Key, Entry>,
    /// Counts uses: a logical clock for [`Entry::last_use`].
    uses: u64,
}

struct Entry {
    model: Arc<ServedModel>,
    last_use: u64,
    /// Why it stays in memory while the fleet does not want it.
    kept: Kept,
}

/// Why a model stays in memory that is neither active nor prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It does not stay.
    No,
    /// It was active. Jobs that were accepted for it may come until then.
    Until(Instant),
    /// A job asked for it by name. It stays while there is room.
    Extra,
}

impl Cache {
    pub(super) fn find(&mut self, key: &Key) -> Option<Arc<ServedModel>> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.model))
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Sets the models that the fleet wants and returns the evicted ones. The formerly active model stays `until`.
    pub(super) fn want(
        &mut self,
        active: Option<Key>,
        prepared: Option<Key>,
        until: Instant,
    ) -> Vec<Arc<ServedModel>> {
        if self.active != active {
            if let Some(entry) = self.active.take().and_then(|key| self.entries.get_mut(&key)) {
                entry.kept = Kept::Until(until);
            }
            self.active = active;
        }
        self.prepared = prepared;
        for key in [&self.active, &self.prepared].into_iter().flatten() {
            // A model that the fleet wants stops being an extra: afterwards it drains.
            if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.kept == Kept::Extra) {
                entry.kept = Kept::No;
            }
        }
        self.retain(|entry| entry.kept != Kept::No)
    }

    /// Inserts a model if the fleet wants it. Returns whether the fleet does.
    pub(super) fn put_wanted(&mut self, key: &Key, model: &Arc<ServedModel>) -> bool {
        let wanted = self.is_wanted(key);
        if wanted {
            self.put(key.clone(), Arc::clone(model), Kept::No);
        }
        wanted
    }

    /// Inserts a model that a job asked for, and returns the least recently used extras beyond `max`.
    pub(super) fn put_extra(
        &mut self,
        key: Key,
        model: Arc<ServedModel>,
        max: usize,
    ) -> Vec<Arc<ServedModel>> {
        if self.put_wanted(&key, &model) || self.holds(&key) {
            return Vec::new();
        }
        self.put(key, model, Kept::Extra);
        let mut extras: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, entry)| entry.kept == Kept::Extra && !self.is_wanted(key))
            .map(|(key, entry)| (entry.last_use, key.clone()))
            .collect();
        extras.sort_by_key(|(last_use, _)| *last_use);
        let surplus = extras.len().saturating_sub(max);
        let dropped = extras.into_iter().take(surplus);
        dropped.filter_map(|(_, key)| self.entries.remove(&key)).map(|entry| entry.model).collect()
    }

    /// Removes and returns the models that have drained by `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Arc<ServedModel>> {
        self.retain(|entry| match entry.kept {
            Kept::Until(moment) => now < moment,
            Kept::No | Kept::Extra => true,
        })
    }

    pub(super) fn list(&self) -> Vec<LoadedModel> {
        let mut list: Vec<_> = self
            .entries
            .keys()
            .map(|key| LoadedModel {
                name: key.name.clone(),
                version: key.version.clone(),
                role: self.role(key),
            })
            .collect();
        list.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        list
    }

    fn role(&self, key: &Key) -> ModelRole {
        if self.active.as_ref() == Some(key) {
            ModelRole::Active
        } else if self.prepared.as_ref() == Some(key) {
            ModelRole::Prepared
        } else {
            ModelRole::Draining
        }
    }

    /// Returns whether the fleet wants this model, loaded or not.
    pub(super) fn is_wanted(&self, key: &Key) -> bool {
        self.active.as_ref() == Some(key) || self.prepared.as_ref() == Some(key)
    }

    fn put(&mut self, key: Key, model: Arc<ServedModel>, kept: Kept) {
        self.uses += 1;
        self.entries.entry(key).or_insert(Entry { model, last_use: self.uses, kept });
    }

    /// Removes and returns the models that are neither wanted nor kept.
    fn retain(&mut self, keep: impl Fn(&Entry) -> bool) -> Vec<Arc<ServedModel>> {
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, entry)| !self.is_wanted(key) && !keep(entry))
            .map(|(key, _)| key.clone())
            .collect();
        gone.into_iter().filter_map(|key| self.entries.remove(&key)).map(|entry| entry.model).collect()
    }
}
