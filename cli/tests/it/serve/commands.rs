//! The other commands against a real server: their output and exit codes.

use std::fs;
use std::process::Output;

use serde_json::Value;

use super::server::{self, Server, demo_images};

/// Runs a command against a server, without blocking the test's own runtime.
async fn run(server: &Server, words: &[&str]) -> Output {
    let mut command = server::command(words);
    command.env("CLASSIFIER_URL", &server.url);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn check(output: &Output, code: i32, says: &[&str]) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    for words in says {
        assert!(out.contains(words) || err.contains(words), "{words:?} is not in\n{out}\n{err}");
    }
}

#[tokio::test]
async fn a_day_with_the_command_line() {
    let server = Server::start(&[]).await;
    check(&run(&server, &["workers"]).await, 0, &["no model is active", "ready"]);
    check(&run(&server, &["models"]).await, 0, &["digits", "digits_small", "32×32×3", "16×16×3"]);
    check(&run(&server, &["predict", "demo/images"]).await, 1, &["no_active_model"]);
    check(&run(&server, &["rollback"]).await, 1, &["nothing to go back to"]);

    check(&run(&server, &["swap", "digits"]).await, 0, &["Changed model to digits"]);
    check(&run(&server, &["swap", "digits_small"]).await, 0, &["Changed model to digits_small"]);
    check(&run(&server, &["rollback"]).await, 0, &["Changed model to digits"]);
    check(&run(&server, &["workers"]).await, 0, &["active model: digits ", "generation 3"]);
    check(&run(&server, &["swap", "no_such_model"]).await, 1, &["no_such_model.hdf5"]);
    check(&run(&server, &["swap", "../digits"]).await, 2, &["is not valid"]);

    let list = run(&server, &["dead-letters", "list"]).await;
    check(&list, 0, &["there are no dead letters"]);
    assert!(stdout(&list).is_empty());
    check(&run(&server, &["dead-letters", "replay"]).await, 0, &["0 replayed"]);
    check(&run(&server, &["dead-letters", "drop"]).await, 2, &["--all"]);
    check(&run(&server, &["dead-letters", "drop", "--all"]).await, 0, &["0 dropped"]);

    let load = run(&server, &["load", "demo/images", "--rate", "40", "--duration", "1", "--json"]).await;
    check(&load, 0, &[]);
    let report: Value = serde_json::from_str(stdout(&load)).unwrap();
    assert_eq!((&report["sent"], &report["answered"]), (&40.into(), &40.into()), "{report}");
}

#[tokio::test]
async fn a_folder_of_images_becomes_a_row_each() {
    let server = Server::start(&["--model", "digits"]).await;
    let table = run(&server, &["predict", "demo/images"]).await;
    check(&table, 0, &["04_is_4.png"]);
    assert!(!stdout(&table).contains('\u{1b}'), "there are colours, and this is no terminal");

    // Batches of 5 make three requests; their rows are in the order of the files.
    let words =
        ["predict", "demo/images", "--json", "--batch", "5", "--top-k", "3", "--model", "digits_small"];
    let output = run(&server, &words).await;
    check(&output, 0, &[]);
    let rows: Vec<Value> = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(rows.len(), demo_images().len());
    for (row, image) in rows.iter().zip(demo_images()) {
        let path = image.path.strip_prefix(server::repository()).unwrap();
        assert_eq!(row["image"], path.to_str().unwrap());
        assert_eq!(row["scores"].as_array().unwrap().len(), 3, "{row}");
        assert_eq!(row["scores"][0]["label"], row["label"]);
    }
}

#[tokio::test]
async fn one_bad_image_is_named_and_makes_the_exit_code_1() {
    let server = Server::start(&["--model", "digits"]).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.png"), "this is no image").unwrap();
    let bad = folder.path().join("bad.png");
    let output = run(&server, &["predict", "demo/images/01_is_2.png", bad.to_str().unwrap(), "--json"]).await;
    check(&output, 1, &[]);
    let rows: Vec<Value> = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!((&rows[0]["label"], rows[1].get("label")), (&"2".into(), None));
    assert!(rows[1]["error"]["code"].is_string(), "{}", rows[1]);
}

#[tokio::test]
async fn every_way_to_fail_has_its_exit_code() {
    let server = Server::start(&[]).await;
    check(&run(&server, &["predict"]).await, 2, &["IMAGES"]);
    check(&run(&server, &["predict", "cli/src"]).await, 2, &["no image"]);
    check(&run(&server, &["models", "--url", "https://127.0.0.1"]).await, 2, &["expected one such as"]);
    // No service uses port 1.
    check(&run(&server, &["models", "--url", "http://127.0.0.1:1"]).await, 3, &["out of reach"]);
    let with_key = |key: Option<&str>| {
        let mut command = server::command(&["models", "--url", &server.url]);
        match key {
            Some(key) => command.env("X_API_KEY", key),
            None => command.env_remove("X_API_KEY"),
        };
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    check(&with_key(Some("wrong")).await.unwrap(), 4, &["wrong api key"]);
    check(&with_key(None).await.unwrap(), 2, &["X_API_KEY"]);
}

#[tokio::test]
async fn a_package_is_inspected_as_keras_would_summarize_it() {
    let output = server::command(&["inspect", "digits"]).output().unwrap();
    // Numbers and shapes are those of Keras's `model.summary()`.
    let rows = [
        "image (InputLayer)",
        "(None, 32, 32, 3)",
        "mix (SeparableConv2D)",
        "(None, 8, 8, 32)",
        "1,312",
        "scores (Dense)",
        "(None, 10)",
        "5,130",
        "Total params: 21,050",
        "Trainable params: 20,890",
        "Non-trainable params: 160",
        "HDF5, written by Keras ",
        "decoded as BGR, rotated as its EXIF tag says",
        "pixel values 0 to 255 divided by 255",
        "the result is the label with the largest of 10 scores",
        "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "can be served",
    ];
    check(&output, 0, &rows);

    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("bad");
    fs::create_dir(&package).unwrap();
    fs::copy("../models/digits/digits.hdf5", package.join("bad.hdf5")).unwrap();
    let config = fs::read_to_string("../models/digits/digits_config.json").unwrap();
    fs::write(package.join("bad_config.json"), config.replace("    \"9\"\n", "    \"9\", \"10\"\n")).unwrap();
    let output = server::command(&["inspect", package.to_str().unwrap()]).output().unwrap();
    check(&output, 1, &["10 outputs", "11 labels", "1 fault"]);
}

#[tokio::test]
async fn scores_are_those_of_keras_on_the_same_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let script = "import sys, os\n\
        os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\n\
        import numpy, keras\n\
        images = numpy.random.default_rng(7).random((40, 32, 32, 3), numpy.float32)\n\
        numpy.save(sys.argv[1], images)\n\
        model = keras.models.load_model('models/digits/digits.hdf5', compile=False)\n\
        numpy.save(sys.argv[2], model.predict(images, verbose=0))\n";
    let keras = std::process::Command::new(server::repository().join(".cache/python/bin/python"))
        .args(["-c", script, &path("images.npy"), &path("expected.npy")])
        .current_dir(server::repository())
        .output()
        .unwrap();
    assert!(keras.status.success(), "{}", stderr(&keras));
    let output =
        server::command(&["score", "digits", &path("images.npy"), &path("scores.npy")]).output().unwrap();
    check(&output, 0, &["40 images scored"]);
    let read = |name: &str| engine::npy::read(path(name).as_ref()).unwrap();
    let (scores, expected) = (read("scores.npy"), read("expected.npy"));
    assert_eq!(scores.shape, expected.shape);
    for (score, expected) in scores.values.iter().zip(&expected.values) {
        assert!((score - expected).abs() < 1e-5, "{score} is not Keras's {expected}");
    }
}
