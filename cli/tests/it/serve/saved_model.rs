//! A package whose model is a SavedModel folder, from inspection to a swap.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::server::{Call, Server, command, demo_images, repository, right_labels};

/// Adds the demo's package as Keras exports it to a folder, with the same config and examples.
fn export(models: &Path) {
    let from = repository().join("models/digits");
    for name in ["digits", "exported"] {
        let to = models.join(name);
        fs::create_dir_all(to.join("examples")).unwrap();
        fs::copy(from.join("digits_config.json"), to.join(format!("{name}_config.json"))).unwrap();
        for file in fs::read_dir(from.join("examples")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join("examples").join(file.file_name())).unwrap();
        }
    }
    fs::copy(from.join("digits.hdf5"), models.join("digits/digits.hdf5")).unwrap();
    let script = "import sys, keras\n\
        keras.models.load_model(sys.argv[1], compile=False).export(sys.argv[2], verbose=False)\n";
    let python = repository().join(".cache/python/bin/python");
    let output = Command::new(python)
        .args(["-c", script])
        .arg(from.join("digits.hdf5"))
        .arg(models.join("exported/exported.savedmodel"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_saved_model_is_inspected_checked_and_swapped_in() {
    let folder = tempfile::tempdir().unwrap();
    export(folder.path());
    let package = folder.path().join("exported");
    let package = package.to_str().unwrap();
    let run = |words: &[&str]| {
        let output = command(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };

    let inspected: Value = serde_json::from_str(&run(&["inspect", package, "--json"])).unwrap();
    assert_eq!(inspected["signature"], "serving_default", "{inspected}");
    assert_eq!(inspected["inputs"][0], "image: float32 (None, 32, 32, 3)", "{inspected}");
    assert_eq!(inspected["outputs"][0], "output_0: float32 (None, 10)", "{inspected}");
    let text = run(&["inspect", package]);
    for words in
        ["SavedModel folder, written by TensorFlow 2.", "serving_default", "The package can be served."]
    {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }

    // Five examples with Keras's scores are among the checks.
    let checked: Value = serde_json::from_str(&run(&["check", package, "--json"])).unwrap();
    let differences =
        checked["checks"].as_array().unwrap().iter().filter_map(|check| check["difference"].as_f64());
    let differences: Vec<f64> = differences.collect();
    assert!(differences.len() == 5 && differences.iter().all(|difference| *difference < 1e-5), "{checked}");

    let server = Server::start_with(folder.path(), &["--model", "digits"]).await;
    let swapped = server.call(Call::put("/classifier/prediction-service/exported")).await;
    assert_eq!(swapped.status, 200, "{}", swapped.body);
    let answer = server.predict(&demo_images()).await;
    assert_eq!(answer.body["response"]["model"], "exported", "{}", answer.body);
    assert!(right_labels(&answer) >= 11, "{}", answer.body);
}
