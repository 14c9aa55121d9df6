//! Comparisons give truth values in TensorFlow, whatever reads them.

use model::{Binary, Builder, Comparison, PoolKind, Unary, Value, Window};

use super::check;

#[test]
fn comparisons() {
    for by in [
        Comparison::Greater,
        Comparison::GreaterEqual,
        Comparison::Less,
        Comparison::LessEqual,
        Comparison::Equal,
        Comparison::NotEqual,
    ] {
        let x_or = |name: &str, uses: fn(&mut Builder, [Value; 3]) -> _| {
            check(&format!("{name} {}", by.name()), |builder, x| {
                let rounded = builder.unary(Unary::Round, x)?;
                let truth = builder.compare_scalar(by, rounded, 1.0)?;
                uses(builder, [x, rounded, truth])
            });
        };
        x_or("alone", |_, [_, _, truth]| Ok(truth));
        x_or("chosen", |builder, [x, rounded, truth]| builder.select(truth, x, rounded));
        x_or("counted", |builder, [x, _, truth]| builder.binary(Binary::Multiply, x, truth));
        x_or("added", |builder, [_, _, truth]| builder.binary(Binary::Add, truth, truth));
        x_or("joined", |builder, [x, _, truth]| builder.concatenate(&[x, truth], 3));
        x_or("pooled", |builder, [_, _, truth]| builder.pool(truth, PoolKind::Max, [Window::of(2); 2]));
    }
    check("a number as a condition", |builder, x| {
        let rounded = builder.unary(Unary::Round, x)?;
        let one = builder.scalar(1.0)?;
        builder.select(rounded, x, one)
    });
}
