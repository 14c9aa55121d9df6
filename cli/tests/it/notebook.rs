//! The notebook runs from top to bottom against a real server, and shows the right labels.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::serve::server::{KEY, Server, repository};

#[tokio::test]
async fn the_notebook_runs_and_knows_the_digits() {
    let server = Server::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let executed = folder.path().join("executed.ipynb");
    let mut command = Command::new(repository().join(".cache/python/bin/python"));
    command
        .arg(repository().join("demo/run_notebook.py"))
        .arg(&executed)
        .env("CLASSIFIER_URL", &server.url)
        .env("X_API_KEY", KEY);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let notebook: Value = serde_json::from_str(&fs::read_to_string(executed).unwrap()).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    let printed: String = cells
        .iter()
        .flat_map(|cell| cell["outputs"].as_array().cloned().unwrap_or_default())
        .flat_map(|output| output["text"].as_array().cloned().unwrap_or_default())
        .map(|line| line.as_str().unwrap().to_owned())
        .collect();
    // `04_is_4.png   4: 0.9999  9: …`: the name has the digit, and the best label comes first.
    let rows: Vec<_> = printed.lines().filter_map(|line| line.split_once(".png ")).collect();
    assert_eq!(rows.len(), 12, "{printed}");
    let is_right =
        |(name, scores): &&(&str, &str)| scores.trim().split(':').next() == name.rsplit('_').next();
    assert!(rows.iter().filter(is_right).count() >= 11, "{printed}");
    assert!(printed.contains("digits_small"), "{printed}");
}

#[test]
fn the_committed_notebook_holds_no_path_of_anybodys_machine() {
    let text = fs::read_to_string(repository().join("demo/demo.ipynb")).unwrap();
    for sign in ["/home/", "/root/", "/Users/", "/tmp/", "/work/"] {
        assert!(!text.contains(sign), "the notebook holds a path with {sign}");
    }
}
