//! Changes the content of a zip archive and keeps its checksums and lengths valid.

use std::io::{Cursor, Read as _, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Most bytes of an archive's contents: larger ones take too long to pack.
const MAX_CONTENTS: u64 = 1 << 20;

/// Changes one entry of an archive with `change`, which gets the bytes and returns how many it left. Returns the packed
/// archive; `None` if it is not an archive.
pub fn change_entry(
    archive: &[u8],
    which: usize,
    change: impl FnOnce(&mut [u8], usize) -> usize,
) -> Option<Vec<u8>> {
    let mut entries = unpack(archive)?;
    let index = which % entries.len();
    let (_, contents) = entries.get_mut(index)?;
    let length = contents.len();
    // Space to grow.
    contents.resize(length + length / 8 + 64, 0);
    let left = change(contents, length);
    contents.truncate(left);
    pack(&entries)
}

fn unpack(archive: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).ok()?;
    let mut entries = Vec::new();
    let mut left = MAX_CONTENTS;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).ok()?;
        let name = entry.name().ok()?.into_owned();
        let mut contents = Vec::new();
        left -= u64::try_from(entry.take(left).read_to_end(&mut contents).ok()?).ok()?;
        entries.push((name, contents));
    }
    (!entries.is_empty()).then_some(entries)
}

fn pack(entries: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        archive.start_file(name.as_str(), options).ok()?;
        archive.write_all(contents).ok()?;
    }
    Some(archive.finish().ok()?.into_inner())
}
