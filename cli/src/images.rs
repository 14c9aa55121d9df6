//! Turns image files into request bodies.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use api::wire::predictions::{PredictionImage, PredictionRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::usage::UsageError;

/// Extensions of image files in a folder.
const ENDINGS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Returns the images that `paths` name: files, and all images in folders, sorted by name.
///
/// # Errors
/// A path does not exist, or there is no image.
pub fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
        if kind.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        return Err(UsageError(format!(
            "there is no image there, expected files named .{}",
            ENDINGS.join(", .")
        ))
        .into());
    }
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let context = || format!("the folder `{}` cannot be read", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Links to folders are not followed: they may form cycles.
        if entry.file_type().with_context(context)?.is_dir() {
            below(&path, found)?;
        } else if has_image_ending(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn has_image_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

/// An image's bytes and its number among all images of the command.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Sent as `image_id`.
    pub number: usize,
    /// The file's content.
    pub bytes: Arc<[u8]>,
}

/// The body of `POST /classifier/predictions`.
#[must_use]
pub fn body(images: &[Numbered]) -> String {
    let encoded = |image: &Numbered| PredictionImage {
        image_id: i64::try_from(image.number).unwrap_or(i64::MAX),
        img_base64: STANDARD.encode(&image.bytes),
    };
    let request = PredictionRequest { images: images.iter().map(encoded).collect() };
    serde_json::to_string(&request).expect("numbers and texts can be written as JSON")
}

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Images; at least 1.
    pub images: usize,
    /// Bytes of all image files together; a larger image is sent alone.
    pub bytes: u64,
}

/// Splits files of these sizes into requests: ranges of consecutive files.
#[must_use]
pub fn requests(sizes: &[u64], limits: RequestLimits) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, size) in sizes.iter().enumerate() {
        if index > start && (index - start >= limits.images || bytes + size > limits.bytes) {
            ranges.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        ranges.push(start..sizes.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_images_in_order_and_files_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        for name in ["b.PNG", "a.jpg", "notes.txt", "inner/c.webp"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let found = collect(paths).unwrap();
            found.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&[folder.path().to_owned()]), ["a.jpg", "b.PNG", "c.webp"]);
        assert_eq!(names(&[folder.path().join("notes.txt")]), ["notes.txt"]);
        assert!(collect(&[folder.path().join("none.png")]).unwrap_err().to_string().contains("none.png"));
    }

    #[test]
    fn a_folder_without_images_is_wrong_usage() {
        let folder = tempfile::tempdir().unwrap();
        assert!(collect(&[folder.path().to_owned()]).unwrap_err().is::<UsageError>());
    }

    #[test]
    fn requests_keep_to_both_limits_and_lose_no_image() {
        let limits = RequestLimits { images: 3, bytes: 10 };
        assert_eq!(requests(&[1, 1, 1, 1], limits), [0..3, 3..4]);
        assert_eq!(requests(&[6, 4, 1], limits), [0..2, 2..3]);
        assert_eq!(requests(&[99, 99], limits), [0..1, 1..2]);
        assert!(requests(&[], limits).is_empty());
    }
}
