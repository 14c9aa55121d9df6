//! Resizing compared with TensorFlow, Pillow, OpenCV and Keras: see `tools/parity/make_pixels.py`.

use std::fs;
use std::path::Path;
use std::process::Command;

use common::package::ModelConfig;
use engine::npy;
use images::decode::DecodeLimits;
use images::preprocess::{decode, preprocess};
use serde::Deserialize;

use testing::repository;

#[derive(Deserialize)]
struct Case {
    what: String,
    /// Its row of the table.
    row: String,
    file: String,
    config: serde_json::Value,
    /// Largest difference, of 255.
    worst: Option<f64>,
    /// Largest mean difference, of 255.
    mean: Option<f64>,
    /// The model's input for a difference of 1 of 255.
    level: f64,
    expected: String,
}

#[test]
fn images_become_what_the_frameworks_make_of_them() {
    let made = Command::new(repository().join(".cache/python/bin/python"))
        .arg(repository().join("tools/parity/make_pixels.py"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = repository().join(".cache/fixtures/resize");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 250, "{} cases", cases.len());
    let mut faults = Vec::new();
    let mut table = Table::default();
    for case in &cases {
        let (worst, mean) = differences(case, &folder);
        // A rounding in the other direction is 1 of 255; float32 sums differ by a hundredth of that.
        if case.worst.is_some_and(|bound| worst > bound + 0.01) || case.mean.is_some_and(|bound| mean > bound)
        {
            faults.push(format!("{}: off by {worst:.3} of 255, {mean:.3} on average", case.what));
        }
        table.add(&case.row, case.file.ends_with(".jpg"), (worst, mean));
    }
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), cases.len());
    fs::write(folder.join("table.md"), table.lines().join("\n") + "\n").unwrap();
    table.check_the_documentation();
}

/// Returns the largest difference and the mean, of 255.
fn differences(case: &Case, folder: &Path) -> (f64, f64) {
    let config = ModelConfig::parse(case.config.to_string().as_bytes())
        .unwrap_or_else(|problems| panic!("{}: {problems:?}", case.what));
    let how = &config.preprocessing;
    let bytes = fs::read(folder.join(&case.file)).unwrap();
    let image = decode(&bytes, &DecodeLimits::default(), how, &|| true).unwrap();
    let found = preprocess(image, how).unwrap();
    let expected = npy::read(&folder.join(&case.expected)).unwrap();
    assert_eq!(expected.shape[1..], how.input_shape, "{}", case.what);
    let differences: Vec<f64> = found
        .values()
        .iter()
        .zip(&expected.values)
        .map(|(a, b)| f64::from((a - b).abs()) / case.level)
        .collect();
    let worst = differences.iter().copied().fold(0.0, f64::max);
    (worst, differences.iter().sum::<f64>() / differences.len() as f64)
}

/// The largest differences of the images of each row, in the order in which rows first occur.
#[derive(Default)]
struct Table(Vec<(String, Row)>);

#[derive(Default)]
struct Row {
    lossless: Differences,
    lossy: Differences,
}

/// The images of one kind.
#[derive(Default)]
struct Differences {
    images: usize,
    worst: f64,
    /// The largest of the images' means.
    mean: f64,
}

impl Table {
    fn add(&mut self, name: &str, is_lossy: bool, (worst, mean): (f64, f64)) {
        let at = self.0.iter().position(|(row, _)| row == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Row::default()));
            self.0.len() - 1
        });
        let row = &mut self.0[at].1;
        let all = if is_lossy { &mut row.lossy } else { &mut row.lossless };
        all.images += 1;
        all.worst = all.worst.max(worst);
        all.mean = all.mean.max(mean);
    }

    fn lines(&self) -> Vec<String> {
        let head = [
            "| | PNG: images | worst pixel | mean | JPEG: images | worst pixel | mean |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ];
        let line = |(name, row): &(String, Row)| {
            let [lossless, lossy] = [&row.lossless, &row.lossy].map(|of| match of.images {
                0 => "– | – | –".to_owned(),
                images => format!("{images} | {:.2} | {:.2}", of.worst, of.mean),
            });
            format!("| {name} | {lossless} | {lossy} |")
        };
        head.map(str::to_owned).into_iter().chain(self.0.iter().map(line)).collect()
    }

    /// The documentation's table has every row, and promises nothing better than measured now: another CPU may round a
    /// sum differently, which shows in the second decimal.
    fn check_the_documentation(&self) {
        let text = fs::read_to_string(repository().join("docs/preprocessing.md")).unwrap();
        let figures = |line: &str| -> Vec<f64> {
            line.split('|').skip(2).map(|cell| cell.trim().parse().unwrap_or(0.0)).collect()
        };
        for line in self.lines().iter().skip(2) {
            let (start, _) = line.split_at(line[1..].find('|').unwrap() + 2);
            // Other tables have rows of the same name.
            let is_of_this_table = |row: &&str| row.starts_with(start) && row.matches('|').count() == 8;
            let documented = text.lines().find(is_of_this_table);
            let documented = documented.unwrap_or_else(|| panic!("docs/preprocessing.md has no row {start}"));
            let (found, said) = (figures(line), figures(documented));
            let is_kept = found.len() == said.len() && found.iter().zip(&said).all(|(a, b)| *a <= b + 0.02);
            assert!(is_kept, "docs/preprocessing.md says {documented}, measured is {line}");
        }
    }
}
