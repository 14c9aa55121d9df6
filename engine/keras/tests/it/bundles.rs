//! Zips with a model and its labels, as Teachable Machine gives them, and what others may put into one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use common::package::ModelFormat;
use keras::bundle::{is_bundle, unpack};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::importer::fixture;

/// Writes a zip with these entries.
fn zipped(path: &Path, entries: &[(&str, &[u8])]) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in entries {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn the_model_and_its_labels_come_out_under_names_of_our_own() {
    let folder = tempfile::tempdir().unwrap();
    let (zip, into) = (folder.path().join("m.zip"), folder.path().join("into"));
    fs::create_dir(&into).unwrap();
    let model = fs::read(fixture("sequential_keras2.hdf5")).unwrap();
    zipped(
        &zip,
        &[
            ("converted/keras_model.h5", &model),
            ("converted/labels.txt", b"0 cat\n1 dog\n"),
            ("labels.txt", b"other"),
            ("__MACOSX/converted/._keras_model.h5", b"macOS"),
            ("notes.md", b"more"),
        ],
    );
    assert!(is_bundle(&zip));
    let unpacked = unpack(&zip, &into).unwrap();
    assert_eq!(
        (unpacked.model.as_path(), unpacked.format),
        (into.join("model.h5").as_path(), ModelFormat::Hdf5)
    );
    assert_eq!(fs::read(&unpacked.model).unwrap(), model);
    assert_eq!(fs::read(unpacked.labels.unwrap()).unwrap(), b"0 cat\n1 dog\n");
    assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
    keras::open(&unpacked.model, unpacked.format).unwrap();
}

#[test]
fn names_that_lead_out_of_a_folder_are_no_paths() {
    let folder = tempfile::tempdir().unwrap();
    let (zip, into) = (folder.path().join("m.zip"), folder.path().join("a/b/c"));
    fs::create_dir_all(&into).unwrap();
    zipped(&zip, &[("../../keras_model.h5", b"model"), ("../../labels.txt", b"cat")]);
    match unpack(&zip, &into) {
        // Hidden, as every name with a part that begins with a dot.
        Err(error) => assert!(error.to_string().contains("holds no model"), "{error}"),
        Ok(unpacked) => assert!(unpacked.model.starts_with(&into)),
    }
    for outside in ["keras_model.h5", "labels.txt", "a/keras_model.h5", "a/labels.txt"] {
        assert!(!folder.path().join(outside).exists(), "{outside}");
    }
}

/// The name and the bytes of a file in a zip.
type Entry<'a> = (&'a str, &'a [u8]);

#[test]
fn what_is_not_one_model_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("m.zip");
    let many: Vec<String> = (0..1001).map(|index| format!("{index}.txt")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let cases: [(&[Entry<'_>], &str); 5] = [
        (
            &[("labels.txt", b"cat")],
            "holds no model, expected one file named .keras, .h5 or .hdf5; it has `labels.txt`",
        ),
        (&[("a.h5", b"one"), ("b.keras", b"two")], "holds several models, `a.h5`, `b.keras`"),
        (
            &[("model.savedmodel/saved_model.pb", b"graph"), ("labels.txt", b"cat")],
            "holds a SavedModel folder",
        ),
        (&many, "has 1001 entries, expected at most 1000"),
        // 64 kB of zeros in some hundred bytes.
        (&[("model.h5", &[0; 1 << 20])], "bytes, expected fewer for a zip of this size"),
    ];
    for (entries, says) in cases {
        zipped(&zip, entries);
        let into = tempfile::tempdir().unwrap();
        let error = unpack(&zip, into.path()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0, "{says}");
    }
}

#[test]
fn other_files_are_no_bundles_and_pipes_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.zip");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(!is_bundle(&pipe));
    let error = unpack(&pipe, folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("is no file, expected a zip"), "{error}");
    // Archives of Keras's own are zips, too.
    assert!(!is_bundle(&fixture("sequential_keras3.keras")));
    assert!(!is_bundle(&fixture("sequential_keras2.hdf5")));
}
