//! Changes inside a zip archive, with valid checksums and lengths.

use std::io::{Cursor, Read as _, Write as _};

use anyhow::Result;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::random::Random;

/// Changes the content of the entry `name`, and packs the archive again.
pub(crate) fn change_entry(
    archive: &[u8],
    name: &str,
    random: &mut Random,
    change: impl FnOnce(&mut Vec<u8>, &mut Random),
) -> Result<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(archive))?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents)?;
        entries.push((entry.name()?.into_owned(), contents));
    }
    if let Some((_, contents)) = entries.iter_mut().find(|(found, _)| found == name) {
        change(contents, random);
    }
    let method = random.pick([CompressionMethod::Stored, CompressionMethod::Deflated]);
    let mut changed = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in entries {
        changed.start_file(name, SimpleFileOptions::default().compression_method(method))?;
        changed.write_all(&contents)?;
    }
    Ok(changed.finish()?.into_inner())
}
