//! Products of matrices and einsums.

use model::{Equation, Fault, Op, Value};

use super::Drawing;

/// Equations of one operand and a weight, of a value with itself, and of a value alone. The batch is `a`.
const EQUATIONS: [(&str, &str); 10] = [
    ("ab,bc", "ac"),
    ("ab,ac", "abc"),
    ("ab", "a"),
    ("abc,cd", "abd"),
    ("abc,cdb", "ad"),
    ("abc,abd", "acd"),
    ("abc", "cab"),
    ("abcd,de", "abce"),
    ("abcd,dbe", "ace"),
    ("abcd", "adb"),
];

impl Drawing {
    pub(super) fn matrix_product(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let rank = self.rank(x);
        let transposed = [self.random.one_in(3), self.random.one_in(3)];
        let Some(axis) = rank.checked_sub(if transposed[0] { 2 } else { 1 }).filter(|_| rank > 1) else {
            return Err("it is no matrix".into());
        };
        if self.random.one_in(4) {
            // With itself: the same axis of both.
            return self
                .builder
                .add(Op::MatrixProduct { transposed: [transposed[0], !transposed[0]] }, &[x, x]);
        }
        let (inner, columns) = (self.size(x, axis)?, self.random.between(1, 3));
        let mut shape = if transposed[1] { vec![columns, inner] } else { vec![inner, columns] };
        if rank > 2 && self.random.one_in(3) {
            shape.insert(0, 1);
        }
        let weight = self.weight(&shape);
        let weight = self.builder.constant(&weight)?;
        self.builder.add(Op::MatrixProduct { transposed }, &[x, weight])
    }

    pub(super) fn einsum(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let rank = self.rank(x);
        let (operands, output) = self.random.pick(&EQUATIONS);
        let operands: Vec<Vec<char>> = operands.split(',').map(|letters| letters.chars().collect()).collect();
        if operands[0].len() != rank {
            return Err("the equation is one of other axes".into());
        }
        let mut inputs = vec![x];
        if let Some(other) = operands.get(1) {
            let size = |letter: &char| match operands[0].iter().position(|known| known == letter) {
                Some(axis) => self.size(x, axis),
                None => Ok(2),
            };
            // A weight has no batch.
            let sizes = other.iter().map(size).collect::<Result<Vec<_>, _>>();
            inputs.push(match sizes {
                Ok(sizes) => {
                    let weight = self.weight(&sizes);
                    self.builder.constant(&weight)?
                }
                Err(_) => x,
            });
        }
        self.builder.einsum(&Equation { operands, output: output.chars().collect() }, &inputs)
    }
}
