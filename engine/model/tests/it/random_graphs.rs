//! Passes on random graphs: the reference interpreter gives the same numbers before and after.
//!
//! A failure names its seed. `GRAPH_SEED=17 cargo test -p classifier-model random_graphs` looks at that graph alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use model::passes::{
    drop_dead_nodes, fold_batch_norms, fold_constants, fold_padding, join_rearrangements, standard,
};
use model::reference::{Array, Budget, evaluate};
use model::{Builder, Graph, Op};
use testing::graphs::{Kind, graph, graph_of, images};

type Pass = (&'static str, fn(Graph) -> Graph);

const PASSES: [Pass; 6] = [
    ("drop_dead_nodes", drop_dead_nodes),
    ("fold_batch_norms", fold_batch_norms),
    ("fold_constants", fold_constants),
    ("fold_padding", fold_padding),
    ("join_rearrangements", join_rearrangements),
    ("standard", standard),
];

/// Passes round weights and constants to float32, which has 24 bits, and sums and products make more of it.
const TOLERANCE: f64 = 1e-4;

fn seeds() -> Range<u64> {
    match std::env::var("GRAPH_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..500,
    }
}

fn outputs(graph: &Graph, seed: u64) -> Vec<Array> {
    evaluate(graph, &images(graph, 2, seed), Budget::default()).unwrap()
}

/// Returns the first element that differs, as a sentence.
fn difference(before: &[Array], after: &[Array]) -> Option<String> {
    assert_eq!(before.len(), after.len());
    before.iter().zip(after).enumerate().find_map(|(output, (before, after))| {
        assert_eq!(before.shape, after.shape, "output {output}");
        let finite = before.values.iter().filter(|value| value.is_finite());
        let largest = finite.fold(1.0, |largest: f64, value| largest.max(value.abs()));
        let differs = |(one, other): (&f64, &f64)| {
            let same = one == other || one.is_nan() && other.is_nan();
            let is_close = same || (one - other).abs() <= TOLERANCE * largest;
            !is_close
        };
        let index = before.values.iter().zip(&after.values).position(differs)?;
        let (one, other) = (before.values[index], after.values[index]);
        Some(format!("output {output}, value {index}: {one} before, {other} after"))
    })
}

/// Checks that every node has the shape that its operation gives.
fn check_shapes(graph: &Graph) {
    let mut builder = Builder::new();
    for node in &graph.nodes {
        let value =
            builder.add(node.op.clone(), &node.inputs).unwrap_or_else(|fault| panic!("{node}: {fault}"));
        assert_eq!(builder.shape(value), &node.shape, "{node}");
    }
}

#[test]
fn passes_keep_the_numbers_of_random_graphs() {
    let mut changed: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in seeds() {
        let original = graph(seed);
        let expected = outputs(&original, seed);
        for (name, pass) in PASSES {
            let passed = pass(original.clone());
            check_shapes(&passed);
            if let Some(difference) = difference(&expected, &outputs(&passed, seed)) {
                panic!("GRAPH_SEED={seed}, {name}: {difference}\nbefore:\n{original}after:\n{passed}");
            }
            *changed.entry(name).or_default() += usize::from(passed != original);
        }
    }
    if std::env::var("GRAPH_SEED").is_err() {
        // A pass that finds nothing to do is not tested.
        assert!(PASSES.iter().all(|(name, _)| changed[name] >= 20), "{changed:?}");
    }
}

#[test]
fn passes_keep_the_numbers_of_single_primitives() {
    for (seed, kind) in (0..20).flat_map(|seed| Kind::ALL.map(|kind| (seed, kind))) {
        let original = graph_of(kind, seed);
        let passed = standard(original.clone());
        let difference = difference(&outputs(&original, seed), &outputs(&passed, seed));
        assert_eq!(difference, None, "{kind:?} {seed}\nbefore:\n{original}after:\n{passed}");
    }
}

/// The names in the sources: `=> "relu"`.
fn names_of_primitives() -> BTreeSet<String> {
    let sources = [include_str!("../../src/op.rs"), include_str!("../../src/op/elements.rs")]
        .map(str::lines)
        .into_iter();
    let name = |line: &str| line.split_once(" => \"")?.1.split_once('"').map(|(name, _)| name.to_owned());
    sources.flatten().filter_map(name).collect()
}

#[test]
fn random_graphs_have_every_primitive() {
    let mut missing = names_of_primitives();
    assert!(missing.len() > 60 && missing.contains("relu"), "{missing:?}");
    // It cannot be computed.
    missing.remove("unresolved");
    for node in (0..500).flat_map(|seed| graph(seed).nodes) {
        missing.remove(node.op.name());
    }
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn most_random_graphs_have_numbers_that_tell() {
    let telling = (0..500).filter(|seed| {
        let found = outputs(&graph(*seed), *seed);
        let values = || found.iter().flat_map(|array| &array.values);
        // Finite, and not all the same.
        values().all(|value| value.is_finite())
            && values().any(|value| Some(value) != found[0].values.first())
    });
    let telling = telling.count();
    assert!(telling > 400, "{telling} of 500");
}

#[test]
fn a_seed_gives_one_graph() {
    let weights = |graph: &Graph| -> Vec<f32> {
        let weights = graph.nodes.iter().flat_map(|node| node.op.weights());
        weights.flat_map(|weight| weight.values.to_vec()).collect()
    };
    let (one, again, other) = (graph(7), graph(7), graph(8));
    assert_eq!((one.to_string(), weights(&one)), (again.to_string(), weights(&again)));
    assert_ne!(one.to_string(), other.to_string());
    assert_eq!(images(&one, 2, 3), images(&one, 2, 3));
    assert!(matches!(one.nodes[0].op, Op::Input { .. }));
}
