//! The stored formats: jobs and results as MessagePack, what operators may want to read as JSON.
//!
//! Each document has a version. A newer one than this release reads is refused by name, and never guessed or replaced.
//! An unreadable worker report is left out.

use std::collections::HashMap;
use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fleet::{FleetState, WorkerReport};
use crate::messages::{JobRecord, Progress, Timestamp};
use crate::store::{StoreError, refuse_newer};

/// Version of a job and its results. It is a separate field, which releases before 0.2 ignore; whoever stores a result
/// in a newer format raises it.
pub(super) const JOB_VERSION: u16 = 1;

/// Version of a worker's report. The release that introduces the next one adds it to the report.
const REPORT_VERSION: u16 = 1;

/// Parses a job from the fields of its hash.
pub(super) fn job(fields: &HashMap<String, Vec<u8>>) -> Result<(JobRecord, Progress), StoreError> {
    let number = |name: &str| {
        let text = fields.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let number = text.and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| malformed("a job", &format!("`{name}` is not a number")))
    };
    if fields.contains_key("version") {
        let version = number("version")?;
        refuse_newer("a job", u16::try_from(version).unwrap_or(u16::MAX), JOB_VERSION)?;
    }
    let record = unpack(fields.get("record").map_or(&[], Vec::as_slice))?;
    let mut results = Vec::new();
    for (name, bytes) in fields {
        if let Some(index) = name.strip_prefix("result:").and_then(|index| index.parse().ok()) {
            results.push((index, unpack(bytes)?));
        }
    }
    results.sort_by_key(|(index, _)| *index);
    let progress = Progress {
        begun: fields.contains_key("begun"),
        parts: u32::try_from(number("parts")?).unwrap_or(u32::MAX),
        deadline: Timestamp(number("deadline")?),
        results,
    };
    Ok((record, progress))
}

/// Parses the fleet's state.
pub(super) fn fleet(json: &[u8]) -> Result<FleetState, StoreError> {
    let what = "the fleet's state";
    let unreadable = |fault| malformed(what, &fault);
    // The version first: a newer state may have an unknown form.
    let Versioned { version } = serde_json::from_slice(json).map_err(unreadable)?;
    refuse_newer(what, version, FleetState::VERSION)?;
    serde_json::from_slice(json).map_err(unreadable)
}

/// Parses a worker's report.
pub(super) fn report(json: &[u8]) -> Result<WorkerReport, StoreError> {
    let what = "a worker's report";
    let unreadable = |fault| malformed(what, &fault);
    let Versioned { version } = serde_json::from_slice(json).map_err(unreadable)?;
    refuse_newer(what, version, REPORT_VERSION)?;
    serde_json::from_slice(json).map_err(unreadable)
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default = "first_version")]
    version: u16,
}

fn first_version() -> u16 {
    1
}

pub(super) fn pack(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(value).map_err(|fault| malformed("a job", &fault))
}

pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|fault| malformed("a job", &fault))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|fault| malformed("the fleet's state", &fault))
}

pub(super) fn malformed(what: &str, fault: &dyn Display) -> StoreError {
    StoreError::Malformed(format!("{what}: {fault}"))
}
