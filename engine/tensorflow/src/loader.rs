//! Makes an engine of a model's graph.

use common::package::{ModelConfig, Precision};
use engine::LoadError;
use model::{Graph, Shape, Size, passes};

use super::graph;
use super::library::Library;
use super::session::{AllCoresSession, TensorflowEngine};
use super::target::Target;

/// Makes the engine of a package: of its model's graph, whose only output are the scores, and as its config says.
///
/// # Errors
/// [`LoadError::Unservable`], with everything that is wrong with it.
pub fn load(library: &Library, config: &ModelConfig, graph: Graph) -> Result<TensorflowEngine, LoadError> {
    engine_for(library, target(library, config), graph, AllCoresSession::IfQuicker)
}

/// The target of a package's graph.
fn target<'a>(library: &'a Library, config: &ModelConfig) -> Target<'a> {
    let usual = Target::of(library);
    let usual =
        Target { takes_uint8: usual.takes_uint8 && config.preprocessing.gives_pixel_values(), ..usual };
    match (config.precision, library.bfloat16) {
        (Precision::Bfloat16, Some(convolutions)) => Target { convolutions, ..usual },
        (Precision::Bfloat16, None) => {
            tracing::warn!("this machine does not compute in bfloat16, float32 is used");
            usual
        }
        (Precision::Float32, _) => usual,
    }
}

/// Makes the engine of a model without a package's config, whatever its first output is. The engine can run over all cores,
/// even where that is slower.
///
/// # Errors
/// [`LoadError::Unservable`], with everything that is wrong with it.
pub fn engine(library: &Library, graph: Graph) -> Result<TensorflowEngine, LoadError> {
    engine_for(library, Target::of(library), graph, AllCoresSession::Always)
}

fn engine_for(
    library: &Library,
    target: Target<'_>,
    graph: Graph,
    kept: AllCoresSession,
) -> Result<TensorflowEngine, LoadError> {
    let unservable = |problem: String| LoadError::Unservable(vec![problem]);
    let image = image(&graph).map_err(unservable)?;
    let classes = classes(&graph).map_err(unservable)?;
    let graph = passes::standard(graph);
    let built = graph::build(&graph, image, target).map_err(LoadError::Unservable)?;
    // The weights are TensorFlow's from here on.
    drop(graph);
    TensorflowEngine::new(library, built, image, classes, kept).map_err(|error| unservable(error.to_string()))
}

/// Height, width and channels of the images that it takes.
fn image(graph: &Graph) -> Result<[usize; 3], String> {
    let shape = &graph.node(graph.input).shape;
    match shape[..] {
        [Size::Batch(1), Size::Known(height), Size::Known(width), Size::Known(channels)] => {
            let image = [height, width, channels];
            if image.contains(&0) { Err(format!("an image of shape {image:?} is empty")) } else { Ok(image) }
        }
        _ => Err(format!("the model's input has shape {shape}, expected [batch, height, width, channels]")),
    }
}

/// How many scores an image has.
fn classes(graph: &Graph) -> Result<usize, String> {
    let output = graph.outputs.first().ok_or("the model has no output, expected 1 with the scores")?;
    let shape = &graph.node(*output).shape;
    match shape.split_first() {
        Some((Size::Batch(1), rest)) => {
            let classes = Shape(rest.to_vec()).elements().filter(|classes| *classes > 0);
            classes.ok_or_else(|| "the size of the model's output is not known before a run".to_owned())
        }
        Some(_) | None => Err(format!("the model's output has shape {shape}, expected [batch, classes]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Builder;

    #[test]
    fn images_have_sizes_and_scores_belong_to_images() {
        let check =
            |input: Shape, output: Shape, expected: (Result<[usize; 3], &str>, Result<usize, &str>)| {
                let mut builder = Builder::new();
                let x = builder.input(input).unwrap();
                let scores = builder.unresolved(&[x], output).unwrap();
                let graph = builder.finish(vec![scores]).unwrap();
                let (image, classes) = expected;
                assert_eq!(super::image(&graph), image.map_err(str::to_owned));
                assert_eq!(super::classes(&graph), classes.map_err(str::to_owned));
            };
        let of_image = || Shape::batched([4, 5, 3]);
        check(of_image(), Shape::batched([7]), (Ok([4, 5, 3]), Ok(7)));
        check(of_image(), Shape::batched([2, 7]), (Ok([4, 5, 3]), Ok(14)));
        check(
            Shape::batched([4, 0, 3]),
            Shape::batched([Size::Open]),
            (
                Err("an image of shape [4, 0, 3] is empty"),
                Err("the size of the model's output is not known before a run"),
            ),
        );
        check(
            Shape::batched([60]),
            Shape(vec![Size::Batch(2), Size::Known(7)]),
            (
                Err("the model's input has shape [batch, 60], expected [batch, height, width, channels]"),
                Err("the model's output has shape [batch * 2, 7], expected [batch, classes]"),
            ),
        );
    }
}
