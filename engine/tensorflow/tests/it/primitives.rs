//! Every primitive in TensorFlow gives what the reference computes in double precision.

use engine::{Batch, Engine};
use model::reference::{self, Array, Budget};
use model::{Builder, Fault, Graph, Shape, Value};
use tensorflow_engine::{Convolutions, Library, Spread};

use crate::support::library;

mod comparisons;
mod random;
mod windows;

/// Relative to the largest value of the reference.
const TOLERANCE: f64 = 1e-5;

/// How many images a run has.
const IMAGES: usize = 3;

/// Their height, width and channels.
const IMAGE: [usize; 3] = [6, 5, 4];

/// Checks what `build` makes of images with values from -2 to 2.
fn check(name: &str, build: impl FnOnce(&mut Builder, Value) -> Result<Value, Fault>) {
    let mut builder = Builder::for_images(IMAGE);
    builder.begin(name);
    let image = builder.input(Shape::batched(IMAGE)).unwrap();
    let output = build(&mut builder, image).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let graph = builder.finish(vec![output]).unwrap();
    for convolutions in [library().convolutions, Convolutions::Plain] {
        check_on(&Library { convolutions, ..library().clone() }, name, &graph);
    }
}

fn check_on(library: &Library, name: &str, graph: &Graph) {
    let values = numbers(IMAGES * IMAGE.iter().product::<usize>());
    let shape = [&[IMAGES], &IMAGE[..]].concat();
    let batch = Array { shape, values: values.iter().copied().map(f64::from).collect() };
    let expected = reference::evaluate(graph, &batch, Budget::default()).unwrap().remove(0);
    let engine = tensorflow_engine::engine(library, graph.clone())
        .unwrap_or_else(|error| panic!("{name}: {error}\n{graph}"));
    let batch = Batch::new(IMAGES, IMAGE, values);
    for scores in [engine.predict(&batch), engine.run_bare(&batch, Spread::AllCores)] {
        let scores = scores.unwrap_or_else(|error| panic!("{name}: {error}\n{graph}"));
        let name = format!("{name}, {:?}", library.convolutions);
        compare(&name, graph, TOLERANCE, (&scores.values, &expected.values));
    }
}

fn compare(name: &str, graph: &Graph, tolerance: f64, (found, expected): (&[f32], &[f64])) {
    assert_eq!(found.len(), expected.len(), "{name}\n{graph}");
    let largest = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(
            difference <= tolerance * largest,
            "{name}: value {index} is {found}, expected {expected}\n{graph}"
        );
    }
}

/// So many numbers from -2 to 2 in no order.
fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * 7919 + index / 13 * 104_729 + 37) % 4001) as f32 / 1000.0 - 2.0)
        .collect()
}
