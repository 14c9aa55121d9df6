//! Invalid packages: each is refused with its reason, and the old model still answers.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::server::{Call, Server, demo_images, prediction_body, repository, right_labels};

/// A models folder with the demo's package, and copies of it that are each changed by `spoil`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.copy("digits");
        folder
    }

    /// Copies the demo's package under another name; returns its folder.
    fn copy(&self, name: &str) -> std::path::PathBuf {
        let (from, to) = (repository().join("models/digits"), self.0.path().join(name));
        fs::create_dir(&to).unwrap();
        fs::copy(from.join("digits.hdf5"), to.join(format!("{name}.hdf5"))).unwrap();
        fs::copy(from.join("digits_config.json"), to.join(format!("{name}_config.json"))).unwrap();
        to
    }

    /// Copies the examples of the demo's package.
    fn copy_examples(&self, name: &str) {
        let to = self.0.path().join(name).join("examples");
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(repository().join("models/digits/examples")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }

    fn with_model(&self, name: &str, change: impl FnOnce(&Path)) {
        change(&self.copy(name).join(format!("{name}.hdf5")));
    }

    fn with_config(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.copy(name).join(format!("{name}_config.json"));
        let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }
}

/// Removes the bias of the layer `refine` from a Keras file; its name stays in the list of weights.
fn remove_weight(model: &Path) {
    let script = "import sys, h5py\n\
        with h5py.File(sys.argv[1], 'r+') as file:\n\
        \x20   layer = file['model_weights/refine']\n\
        \x20   names = [n.decode() if isinstance(n, bytes) else n for n in layer.attrs['weight_names']]\n\
        \x20   del layer[next(name for name in names if 'bias' in name)]\n";
    let python = repository().join(".cache/python/bin/python");
    let output = Command::new(python).args(["-c", script]).arg(model).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn folder_of_bad_packages() -> Folder {
    let folder = Folder::new();
    let broken = folder.copy("broken_config");
    fs::write(broken.join("broken_config_config.json"), "{\"model_name\": ").unwrap();
    folder.with_config("nine_labels", |config| {
        config["output_config"]["output_classes"].as_array_mut().unwrap().pop();
    });
    folder.with_config("two_faults", |config| {
        config["image_preproc_config"]["input_shape"] = json!([16, 32, 3]);
        config["output_config"]["output_classes"].as_array_mut().unwrap().pop();
    });
    folder.with_config("unknown_key", |config| config["image_preproc_config"]["input_size"] = json!(32));
    folder.with_model("truncated", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    folder.with_model("text", |path| fs::write(path, "this is no model").unwrap());
    folder.with_model("empty_file", |path| fs::write(path, "").unwrap());
    folder.with_model("without_weight", remove_weight);
    folder.with_config("wrong_scale", |config| {
        config["image_preproc_config"]["normalization_factor"] = json!(-255);
    });
    folder.copy_examples("wrong_scale");
    folder.with_model("without_model", |path| fs::remove_file(path).unwrap());
    folder
}

#[tokio::test]
async fn a_bad_package_is_refused_with_its_reason_and_the_old_model_goes_on() {
    let folder = folder_of_bad_packages();
    let server = Server::start_with(folder.0.path(), &["--model", "digits"]).await;
    let before = server.predict(&demo_images()).await.header("x-model-version").to_owned();
    for (name, status, says) in [
        ("broken_config", 422, &["not JSON"][..]),
        ("nine_labels", 422, &["10 outputs", "9 labels"]),
        ("two_faults", 422, &["[16, 32, 3]", "9 labels"]),
        ("unknown_key", 422, &["`input_size`", "`normalization_factor`"]),
        ("truncated", 422, &["damaged"]),
        ("text", 422, &["HDF5"]),
        ("empty_file", 422, &["HDF5"]),
        ("without_weight", 422, &["refine", "bias"]),
        (
            "wrong_scale",
            422,
            &["example `01_is_2.png`: largest difference", "`02_is_7.png`", "tolerance 0.001"],
        ),
        ("without_model", 404, &["without_model/without_model.hdf5"]),
        ("not_there", 404, &["not_there/not_there.hdf5"]),
        ("..%2Fmodels%2Fdigits", 422, &["is not valid"]),
        ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", 422, &["is not valid"]),
    ] {
        let answer = server.call(Call::put(&format!("/classifier/prediction-service/{name}"))).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        let body = answer.body.to_string();
        for words in says {
            assert!(body.contains(words), "{name}: {words:?} is not in {body}");
        }
        if status == 422 && !name.contains('%') {
            assert!(
                answer.body["problems"].as_array().is_some_and(|list| !list.is_empty()),
                "{name}: {body}"
            );
        }
        let after = server.predict(&demo_images()).await;
        assert_eq!((after.status, after.header("x-model-version")), (200, before.as_str()), "{name}");
        assert!(right_labels(&after) >= 11, "{name}: {}", after.body);
    }
}

#[tokio::test]
async fn a_package_says_itself_which_labels_an_answer_has() {
    let folder = Folder::new();
    folder.with_config("best_three", |config| {
        config["output_postproc_type"] = json!("top_k");
        config["output_config"]["k"] = json!(3);
    });
    folder.with_config("several", |config| {
        let labels = config["output_config"]["output_classes"].as_array().unwrap().clone();
        let lines: Vec<_> = labels.iter().map(|label| label.as_str().unwrap()).collect();
        fs::write(folder.0.path().join("several/labels.txt"), lines.join("\n")).unwrap();
        config["output_postproc_type"] = json!("multi_label");
        config["output_config"] = json!({"output_classes_file": "labels.txt", "threshold": 0.01});
    });
    let server = Server::start_with(folder.0.path(), &["--model", "digits"]).await;
    for (query, scores, several) in [
        ("model=digits", 0, false),
        ("model=best_three", 3, false),
        ("model=best_three&top_k=2", 2, false),
        ("model=several", 0, true),
        ("model=several&top_k=1", 1, true),
    ] {
        let body = prediction_body(&demo_images());
        let answer = server.call(Call::post(&format!("/classifier/predictions?{query}")).body(&body)).await;
        assert!(right_labels(&answer) >= 11, "{query}: {}", answer.body);
        for result in answer.body["response"]["results"].as_array().unwrap() {
            let listed = result["scores"].as_array().map_or(0, Vec::len);
            assert_eq!((listed, result.get("labels").is_some()), (scores, several), "{query}: {result}");
            for entry in result["labels"].as_array().into_iter().flatten() {
                assert!(entry["score"].as_f64().unwrap() >= 0.01, "{result}");
            }
            if several {
                assert_eq!(result["labels"][0]["label"], result["label"], "{result}");
            }
        }
    }
}

#[tokio::test]
async fn the_list_of_models_says_what_is_wrong_with_each_package() {
    let folder = folder_of_bad_packages();
    let server = Server::start_with(folder.0.path(), &[]).await;
    let list = server.call(Call::get("/classifier/models")).await.body["response"].clone();
    let problems = |name: &str| {
        let entry = list.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap();
        entry["problems"].as_array().unwrap().len()
    };
    assert_eq!(problems("digits"), 0);
    for name in ["broken_config", "unknown_key", "without_model"] {
        assert!(problems(name) > 0, "{name}: {list}");
    }
}
