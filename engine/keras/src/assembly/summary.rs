//! The rows of `model.summary()`.

use crate::SummaryRow;
use crate::architecture::{Body, CONSTANT_CLASS, Member, ModelKind, ModelSpec};
use crate::reader::Declared;

/// Rows as `model.summary()` shows them.
pub(super) fn summary(
    root: &ModelSpec,
    declared: &[Option<Vec<Declared>>],
    nodes: &[Option<usize>],
) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for (member, node) in root.members.iter().zip(nodes) {
        // The summary of a `Sequential` omits its input, and every summary omits constants.
        let hidden = (root.kind == ModelKind::Sequential && member.class() == "InputLayer")
            || member.class() == CONSTANT_CLASS;
        let Some(node) = node.filter(|_| !hidden) else { continue };
        let Parameters { all, trainable } = parameters(member, declared);
        let class = member.class().to_owned();
        rows.push(SummaryRow { name: member.name.clone(), class, node, parameters: all, trainable });
    }
    rows
}

#[derive(Default)]
struct Parameters {
    all: usize,
    trainable: usize,
}

fn parameters(member: &Member, declared: &[Option<Vec<Declared>>]) -> Parameters {
    let mut sum = Parameters::default();
    match &member.body {
        Body::Layer(layer) => {
            for weight in declared[layer.id].iter().flatten() {
                let sizes = weight.shape.iter().map(|size| size.unwrap_or(0));
                let count = sizes.fold(1, usize::saturating_mul);
                sum.all = sum.all.saturating_add(count);
                sum.trainable = sum.trainable.saturating_add(if weight.trainable { count } else { 0 });
            }
        }
        Body::Model(model) => {
            for inner in &model.members {
                let Parameters { all, trainable } = parameters(inner, declared);
                sum.all = sum.all.saturating_add(all);
                sum.trainable = sum.trainable.saturating_add(trainable);
            }
        }
    }
    if !member.trainable {
        sum.trainable = 0;
    }
    sum
}
