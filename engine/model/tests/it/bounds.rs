//! Sizes that a hostile file can name.

use model::{Builder, Fault, PadMode, Shape, Size, Tensor};

fn padded(builder: &mut Builder, by: usize) -> Result<String, Fault> {
    let x = builder.input(Shape::batched([8, 8, 3]))?;
    let value = builder.pad(x, &[[0, 0], [0, by], [0, by], [0, 0]], PadMode::Constant(0.0))?;
    Ok(builder.shape(value).to_string())
}

#[test]
fn a_value_larger_than_any_machine_is_refused() {
    let fault = |by| padded(&mut Builder::new(), by).unwrap_err().0;
    assert_eq!(padded(&mut Builder::new(), 10_000), Ok("[batch, 10008, 10008, 3]".to_owned()));
    assert_eq!(fault(100_000), "its output of shape [100008, 100008, 3] is too large to be computed");
    assert_eq!(fault(usize::MAX), "its output is too large to be computed");
}

#[test]
fn a_value_larger_than_networks_need_is_refused_where_the_image_is_known() {
    let mut builder = Builder::for_images([8, 8, 3]);
    assert_eq!(padded(&mut builder, 2000), Ok("[batch, 2008, 2008, 3]".to_owned()));
    let fault = padded(&mut Builder::for_images([8, 8, 3]), 5000).unwrap_err();
    // (8 + 5000)² * 3, and 2²⁴.
    assert_eq!(fault.0, "its pad gives 75240192 values for an image, expected at most 16777216");
    // 256 * 1024 * 1024 * 3 is more.
    assert!(padded(&mut Builder::for_images([1024, 1024, 3]), 5000).is_ok());
}

#[test]
fn rows_of_the_batch_count() {
    let mut builder = Builder::for_images([8, 8, 3]);
    let x = builder.input(Shape::batched([8, 8, 3])).unwrap();
    let folded = builder.reshape(x, Shape(vec![Size::Batch(64), Size::Known(3)])).unwrap();
    assert_eq!(builder.shape(folded).rows(), 64);
    assert!(builder.pad(folded, &[[0, 0], [0, 100_000]], PadMode::Constant(0.0)).is_ok());
    let fault = builder.pad(folded, &[[0, 0], [0, 1_000_000]], PadMode::Constant(0.0)).unwrap_err();
    assert_eq!(fault.0, "its pad gives 64000192 values for an image, expected at most 16777216");
}

#[test]
fn axes_are_few_and_constants_whole() {
    let mut builder = Builder::new();
    let x = builder.input(Shape::batched([1; 15])).unwrap();
    let fault = builder.expand(x, 1).unwrap_err();
    assert_eq!(fault.0, "its output has 17 axes, expected at most 16");

    let fault = |shape: &[usize], values: &[f32]| {
        Builder::new().constant(&Tensor::new(shape, values.to_vec())).map(|_| ()).map_err(|fault| fault.0)
    };
    assert_eq!(fault(&[2, 2], &[1.0; 4]), Ok(()));
    assert_eq!(fault(&[2, 2], &[]), Ok(()), "weights that were not read");
    assert_eq!(fault(&[2, 2], &[1.0; 3]), Err("a weight of shape [2, 2] has 3 values".to_owned()));
    assert_eq!(fault(&[2, 0], &[]), Err("a weight of shape [2, 0] is empty".to_owned()));
    let fault = fault(&[usize::MAX, 2], &[]);
    assert_eq!(fault, Err("its output is too large to be computed".to_owned()));
}

#[test]
fn a_graph_has_one_input_and_after_a_fault_the_builder_is_as_before() {
    let mut builder = Builder::new();
    assert!(Builder::new().finish(Vec::new()).is_err());
    let x = builder.input(Shape::batched([3])).unwrap();
    assert!(builder.input(Shape::batched([4])).is_err());
    assert!(builder.softmax(x, 0).is_err());
    let graph = builder.finish(vec![x]).unwrap();
    assert_eq!((graph.nodes.len(), graph.input), (1, x));
}
