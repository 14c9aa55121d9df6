//! The stages that a worker's image and model go through before TensorFlow: `cargo bench`.
//!
//! `photograph.jpg` is the first image of `bench/make_package.py`.

use std::hint::black_box;
use std::path::Path;

use common::package::ModelFormat;
use common::package::config::{Preprocessing, PreprocessingKind};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use images::decode::{DecodeLimits, DecodedImage, decode};
use images::preprocess::preprocess;

const PHOTOGRAPH: &[u8] = include_bytes!("photograph.jpg");

const HOW: Preprocessing = Preprocessing {
    input_shape: [224, 224, 3],
    kind: PreprocessingKind::NormalizeAndPad { normalization_factor: 255.0 },
};

fn decoding(criterion: &mut Criterion) {
    let limits = DecodeLimits::default();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(PHOTOGRAPH.len() as u64));
    group.bench_function("JPEG of 224x224", |bencher| {
        bencher.iter(|| decode(black_box(PHOTOGRAPH), &limits).map(|image| image.pixels.len()));
    });
    group.finish();
}

fn preprocessing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("preprocess to 224x224");
    for (width, height) in [(224, 224), (500, 375), (1920, 1080)] {
        let pixels = (0..width * height * 3).map(|n| (n % 251) as u8).collect();
        let image = DecodedImage { height, width, pixels };
        group.bench_function(format!("from {width}x{height}"), |bencher| {
            bencher.iter_batched(
                || image.clone(),
                |image| preprocess(black_box(image), &HOW).map(|pixels| pixels.len()),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn importing(criterion: &mut Criterion) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/digits/digits.hdf5");
    criterion.bench_function("read digits.hdf5", |bencher| {
        bencher.iter(|| keras::open(black_box(&file), ModelFormat::Hdf5).map(|model| model.nodes.len()));
    });
}

criterion_group!(stages, decoding, preprocessing, importing);
criterion_main!(stages);
