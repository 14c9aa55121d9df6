//! `docs/layers.md` has a correct row for every layer class of Keras 2 and Keras 3. The lists of classes come from
//! `tests/fixtures/classes/make.py`.

use std::collections::BTreeMap;
use std::fs;

use keras::layers::Verdict;
use keras::verdict;

use testing::repository;

/// By class: the versions of Keras that have it, and its verdict.
type Table = BTreeMap<String, (String, String)>;

fn documented() -> Table {
    let text = fs::read_to_string(repository().join("docs/layers.md")).unwrap();
    let mut table = Table::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, class, kerases, verdict, ..] = cells[..] else { panic!("{line}") };
        let before = table.insert(class.replace('`', ""), (kerases.to_owned(), verdict.to_owned()));
        assert!(before.is_none(), "{class} has two rows");
    }
    table
}

#[test]
fn every_layer_class_of_both_kerases_has_a_row() {
    let path = repository().join("engine/keras/tests/fixtures/classes/classes.json");
    let classes: BTreeMap<String, Vec<String>> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut expected = BTreeMap::<String, Vec<String>>::new();
    for (keras, classes) in classes {
        for class in classes {
            expected.entry(class).or_default().push(keras.clone());
        }
    }
    let expected: BTreeMap<String, String> =
        expected.into_iter().map(|(class, kerases)| (class, kerases.join(", "))).collect();
    let found: BTreeMap<String, String> =
        documented().into_iter().map(|(class, (kerases, _))| (class, kerases)).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_row_says_what_the_importer_does() {
    for (class, (_, documented)) in documented() {
        let found = match verdict(&class) {
            Verdict::Supported => "supported",
            Verdict::Inert => "does nothing",
            Verdict::Refused => "refused",
        };
        assert_eq!(documented, found, "{class}");
    }
}
