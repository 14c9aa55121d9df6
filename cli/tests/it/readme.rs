//! Lists in the documentation match the code.

use std::fs;
use std::path::Path;

#[test]
fn every_metric_of_the_dashboard_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let names: String = ["names", "api_names"]
        .map(|file| fs::read_to_string(root.join(format!("common/src/telemetry/{file}.rs"))).unwrap())
        .concat();
    let dashboard = fs::read_to_string(root.join("deploy/grafana-dashboard.json")).unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = 0;
    for rest in dashboard.split("classifier_").skip(1) {
        let end = rest.find(|c| !is_name(c)).unwrap();
        let name = format!("classifier_{}", rest[..end].trim_end_matches("_bucket"));
        assert!(names.contains(&format!("\"{name}\"")), "{name} is no metric");
        found += 1;
    }
    assert!(found > 15, "only {found} metrics were found");
}

#[test]
fn every_code_of_an_image_stands_in_the_closed_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![root.join("api/src"), root.join("worker/src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(source) = fs::read_to_string(&path) else { continue };
            let code = source.split("#[cfg(test)]").next().unwrap();
            for rest in code.split("code: \"").skip(1) {
                let name = rest.split('"').next().unwrap();
                assert!(common::messages::IMAGE_ERROR_CODES.contains(&name), "{}: {name}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 7, "{found}");
}
