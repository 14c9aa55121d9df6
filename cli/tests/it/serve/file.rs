//! `classifier serve MODEL`: models without a config, served at once or asked about.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::server::{Call, Image, Server, command, prediction_body, repository};
use testing::numbers::largest_difference;

/// Runs one of the scripts that make models.
fn make(script: &str, folder: &Path, words: &[&str]) {
    let made = Command::new(repository().join(".cache/python/bin/python"))
        .arg(repository().join("tools/parity").join(script))
        .arg(folder)
        .args(words)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Models of tutorials and of Teachable Machine.
struct Models(tempfile::TempDir);

impl Models {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        make("teachable_machine.py", folder.path(), &[]);
        let tutorials = ["--only", "transfer_learning_keras3", "fine_tuning_keras3", "little_data_keras2"];
        make("make_tutorials.py", &folder.path().join("tutorials"), &tutorials);
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tutorial(&self, name: &str, ending: &str) -> PathBuf {
        self.path("tutorials").join(name).join(format!("{name}.{ending}"))
    }
}

/// Runs `classifier serve` where it has to end by itself.
fn refused(words: &[&str]) -> (Option<i32>, String) {
    let output: Output =
        command(&["serve", "--listen", "127.0.0.1:0"]).args(words).env_remove("X_API_KEY").output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains("listening on"), "{text}");
    (output.status.code(), text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn what_teachable_machine_gives_is_served_by_one_command_and_scores_as_its_sample_code() {
    let models = Models::new();
    let expected: HashMap<String, Vec<f32>> =
        serde_json::from_slice(&fs::read(models.path("scores.json")).unwrap()).unwrap();
    let mut images: Vec<Image> = fs::read_dir(models.path("photographs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Image { bytes: fs::read(&path).unwrap(), path })
        .collect();
    images.sort_by(|one, other| one.path.cmp(&other.path));
    assert_eq!((images.len(), expected.len()), (30, 30));
    let labels = ["Banana", "Red apple", "Nothing at all"];
    for given in ["converted_keras.zip", "converted_keras", "converted_keras/keras_model.h5"] {
        let rest = tempfile::tempdir().unwrap();
        let mut server = Server::of_model(&[text(&models.path(given))], rest.path()).await;
        let said = server.said.join("\n");
        for words in [
            "pixels: RGB 0–255 divided by 127.5, then less 1, cropped to the proportions of 224×224",
            "as in the sample code of Teachable Machine",
            "labels: 3 from labels.txt, without their numbers: Banana, Red apple, Nothing at all",
            "the model ends in softmax",
        ] {
            assert!(said.contains(words), "{given}: {words:?} is not in\n{said}");
        }
        let answer = server
            .call(
                Call::post("/classifier/predictions?top_k=3")
                    .key(Some(&server.key()))
                    .body(&prediction_body(&images)),
            )
            .await;
        let results =
            answer.body["response"]["results"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
        for (result, image) in results.iter().zip(&images) {
            let score = |label: &str| {
                let scores = result["scores"].as_array().unwrap();
                let entry = scores.iter().find(|entry| entry["label"] == label);
                entry.and_then(|entry| entry["score"].as_f64()).unwrap_or_else(|| panic!("{result}"))
            };
            #[expect(clippy::cast_possible_truncation, reason = "scores are float32")]
            let found = labels.map(|label| score(label) as f32);
            let name = image.path.file_name().unwrap().to_str().unwrap();
            let difference = largest_difference(&found, &expected[name]);
            assert!(
                difference < 1e-3,
                "{given}: {name} is off by {difference}: {found:?}, {:?}",
                expected[name]
            );
        }
        assert_eq!(server.stop().await, Some(0));
        let left = fs::read_dir(rest.path()).unwrap().count();
        assert_eq!(left, 0, "{given}: temporary files are left over");
    }
}

#[tokio::test]
async fn every_kind_of_file_is_served_or_its_refusal_says_what_to_do() {
    let models = Models::new();
    let (keras, hdf5) =
        (models.tutorial("transfer_learning_keras3", "keras"), models.tutorial("fine_tuning_keras3", "h5"));
    let misnamed = models.path("misnamed.keras");
    fs::copy(&hdf5, &misnamed).unwrap();
    let asks = models.tutorial("little_data_keras2", "h5");
    let saved = models.path("saved");
    export(&hdf5, &saved);
    let exported = models.path("converted_savedmodel");
    let picture = repository().join("demo/images/01_is_2.png");
    for (words, name, says) in [
        (
            vec![text(&keras)],
            "transfer_learning_keras3",
            "pixels: RGB 0–255, stretched to 96×96 with TensorFlow's bilinear, as `x / 127.5` and `x - 1` stand in the model",
        ),
        (
            vec![text(&hdf5), "--name", "flowers"],
            "flowers",
            "as `Rescaling(1/127.5, -1)` stands in the model",
        ),
        (vec![text(&misnamed)], "misnamed", "labels: class_0 to class_2, for there is no labels.txt"),
        (
            vec![text(&asks), "--recipe", "load_img-255", "--labels", "cat,dog"],
            "little_data_keras2",
            "stretched to 50×50 with Pillow's nearest, as --recipe load_img-255 says",
        ),
        (
            vec![text(&saved), "--recipe", "image_dataset_from_directory", "--activation", "none"],
            "saved",
            "as --recipe image_dataset_from_directory says",
        ),
        (
            vec![text(&exported), "--recipe", "teachable_machine", "--activation", "none"],
            "converted_savedmodel",
            "labels: 3 from labels.txt, without their numbers: Banana",
        ),
        (vec!["models/digits"], "digits", ""),
        (vec!["digits"], "digits", ""),
    ] {
        let rest = tempfile::tempdir().unwrap();
        let server = Server::of_model(&words, rest.path()).await;
        let said = server.said.join("\n");
        assert!(said.contains(says), "{words:?}: {says:?} is not in\n{said}");
        // As it is printed, with a picture that exists.
        let curl = server.curl.replace("photo.jpg", text(&picture));
        let ran = tokio::process::Command::new("sh")
            .args(["-c", &format!("{curl} -sS --noproxy '*'")])
            .output()
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|_| panic!("{curl}: {}", String::from_utf8_lossy(&ran.stderr)));
        assert_eq!(answer["response"]["model"], name, "{curl}: {answer}");
        assert!(answer["response"]["results"][0]["label"].is_string(), "{curl}: {answer}");
    }
}

/// Exports a Keras model as a SavedModel folder.
fn export(model: &Path, to: &Path) {
    let script = "import sys, keras\n\
        keras.models.load_model(sys.argv[1], compile=False).export(sys.argv[2], verbose=False)\n";
    let python = repository().join(".cache/python/bin/python");
    let output = Command::new(python).args(["-c", script]).arg(model).arg(to).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_not_known_is_asked_with_the_training_code_that_each_flag_answers_to() {
    let (code, said) = refused(&["models/digits/digits.hdf5"]);
    assert_eq!(code, Some(2), "{said}");
    for words in [
        "nothing in the model scales pixel values",
        "--recipe image_dataset_from_directory ",
        "ImageDataGenerator(rescale=1/255).flow_from_directory(…)",
        "--recipe caffe ",
        "of VGG or ResNet",
        "--recipe opencv-255 ",
        "cv2.resize(cv2.imread(file), …) / 255",
        "--recipe teachable_machine",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    // It ends in softmax, and has as many labels as it says.
    assert!(!said.contains("--activation") && !said.contains("--labels"), "{said}");
    let (code, said) = refused(&["models/digits/digits.hdf5", "--recipe", "load_img-255", "--labels", "a,b"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--labels has 2 labels, expected 10"), "{said}");
    let (_, said) = refused(&["models/digits/digits.hdf5", "--recipe", "load_img-255", "--size", "9x9"]);
    assert!(said.contains("--size is 9x9, but the model takes [32, 32, 3]"), "{said}");
    let (_, said) = refused(&["models/digits", "--recipe", "load_img-255"]);
    assert!(said.contains("is a package, whose config says how it is served"), "{said}");
}

#[test]
fn what_is_no_model_is_named_and_nothing_waits_for_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("model.tflite"), b"\x1c\0\0\0TFL3\x14\0").unwrap();
    fs::write(path("pointer.h5"), "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n").unwrap();
    fs::write(path("notes.txt"), "nothing").unwrap();
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("two")).unwrap();
    fs::write(path("two/a.h5"), "").unwrap();
    fs::write(path("two/b.keras"), "").unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe.h5")).status().unwrap().success());
    let weights = repository().join("worker/tests/fixtures/others/made3.weights.h5");
    for (path, says) in [
        (path("model.tflite"), "is a model of TensorFlow Lite"),
        (path("pointer.h5"), "run `git lfs pull`"),
        (path("notes.txt"), "is no model: expected a .keras, .h5 or .hdf5 file, a SavedModel folder"),
        (path("empty"), "holds no model"),
        (path("two"), "holds several models, `a.h5`, `b.keras`"),
        (path("pipe.h5"), "is neither a file nor a folder"),
        (path("none.h5"), "none.h5` cannot be read"),
        (weights, "model.load_weights"),
    ] {
        let (code, said) = refused(&[text(&path)]);
        assert!(code != Some(0) && said.contains(says), "{}: {code:?} {said}", path.display());
    }
}
