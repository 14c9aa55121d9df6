//! What is in memory and why: the roles of loaded models, and which of them have to go.

use std::collections::HashMap;
use std::sync::Arc;

use common::fleet::{LoadedModel, ModelRole};
use tokio::time::Instant;

use super::Key;
use crate::served::ServedModel;

/// Loaded models and what the fleet wants, loaded or not.
#[derive(Default)]
pub(super) struct Shelf {
    active: Option<Key>,
    prepared: Option<Key>,
    entries: HashMap<Key, Entry>,
    /// Counts uses: a clock that never stands still.
    uses: u64,
}

struct Entry {
    model: Arc<ServedModel>,
    last_use: u64,
    /// What keeps it here while the fleet does not want it.
    kept: Kept,
}

/// What keeps a model that is neither active nor prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// Nothing.
    No,
    /// It was active; jobs accepted for it may come until then.
    Until(Instant),
    /// A job asked for it by name; it stays while there is room.
    Extra,
}

impl Shelf {
    pub(super) fn find(&mut self, key: &Key) -> Option<Arc<ServedModel>> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.model))
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Sets what the fleet wants and returns what is dropped for it. What was active is kept `until`.
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
            // Once the fleet wanted it, it is no extra any more: it drains when its time is over.
            if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.kept == Kept::Extra) {
                entry.kept = Kept::No;
            }
        }
        self.retain(|entry| entry.kept != Kept::No)
    }

    /// Puts a model that the fleet wants here; whether it does.
    pub(super) fn put_wanted(&mut self, key: &Key, model: &Arc<ServedModel>) -> bool {
        let wanted = self.is_wanted(key);
        if wanted {
            self.put(key.clone(), Arc::clone(model), Kept::No);
        }
        wanted
    }

    /// Puts a model here that a job asked for, and returns those that make room for it.
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

    /// Takes out what has drained by `now`.
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

    /// Whether the fleet wants this model here, loaded or not.
    pub(super) fn is_wanted(&self, key: &Key) -> bool {
        self.active.as_ref() == Some(key) || self.prepared.as_ref() == Some(key)
    }

    fn put(&mut self, key: Key, model: Arc<ServedModel>, kept: Kept) {
        self.uses += 1;
        self.entries.entry(key).or_insert(Entry { model, last_use: self.uses, kept });
    }

    /// Takes out what is neither wanted nor to be kept.
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
