//! What moves values.

use model::{Fault, PadMode, Range, Shape, Size, Unary, Value};

use super::Drawing;

impl Drawing {
    pub(super) fn reshape(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let shape = self.builder.shape(x).clone();
        let Some((first, rest)) = shape.split_first() else { return Err("it has no axes".into()) };
        let each: usize = rest.iter().filter_map(|size| size.known()).product();
        match (self.random.between(0, 3), first, rest) {
            (0, ..) => self.builder.flatten(x),
            (1, ..) => self.builder.expand(x, self.rank(x)),
            // A part of each image becomes a row of the batch.
            (2, Size::Batch(rows), [Size::Known(part), rest @ ..]) => {
                let batch = Size::Batch(rows * part);
                self.builder.reshape(x, Shape([&[batch][..], rest].concat()))
            }
            // All rows of an image come together again, in two halves if they can.
            (_, Size::Batch(rows), _) => {
                let halves = if (rows * each).is_multiple_of(2) { 2 } else { 1 };
                self.builder.reshape(x, Shape::batched([halves, rows * each / halves]))
            }
            _ => Err("it is a constant".into()),
        }
    }

    pub(super) fn transpose(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let mut order: Vec<usize> = (0..self.rank(x)).collect();
        // Little can be done where the batch is not first.
        let first = usize::from(!self.random.one_in(5)).min(order.len());
        self.random.shuffle(&mut order[first..]);
        if order.is_sorted() {
            return Err("it is as before".into());
        }
        self.builder.transpose(x, &order)
    }

    pub(super) fn concatenate(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        let other = self.builder.unary(Unary::Negate, x)?;
        if self.random.one_in(2) {
            let mut ranges = vec![Range::WHOLE; self.rank(x)];
            ranges[axis] = Range::between(0, 1);
            let part = self.builder.slice(x, &ranges)?;
            return self.builder.concatenate(&[part, x, other], axis);
        }
        self.builder.concatenate(&[other, x], axis)
    }

    pub(super) fn slice(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let shape = self.builder.shape(x).clone();
        let mut bound = |size: usize| {
            let size = i64::try_from(size).unwrap_or_default();
            let bounds: Vec<Option<i64>> = (-size - 1..=size + 1).map(Some).chain([None]).collect();
            self.random.pick(&bounds)
        };
        let bounds: Vec<_> =
            shape.iter().map(|size| size.known().map(|size| [bound(size), bound(size)])).collect();
        let ranges: Vec<Range> = bounds
            .into_iter()
            .map(|bounds| match bounds {
                Some([start, stop]) if self.random.one_in(2) => {
                    Range { start, stop, step: self.random.pick(&[1, 1, 2, -1, -2, 3]) }
                }
                Some(_) | None => Range::WHOLE,
            })
            .collect();
        if ranges.iter().all(|range| *range == Range::WHOLE) {
            return Err("it is as before".into());
        }
        self.builder.slice(x, &ranges)
    }

    pub(super) fn pad(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let mode = self.random.pick(&[
            PadMode::Constant(0.0),
            PadMode::Constant(-0.5),
            PadMode::Reflect,
            PadMode::Symmetric,
        ]);
        let mut edges = vec![[0, 0]; self.rank(x)];
        for _ in 0..2 {
            let axis = self.axis(x)?;
            edges[axis] = [self.random.between(0, 2), self.random.between(0, 2)];
        }
        if edges.iter().all(|edges| *edges == [0, 0]) {
            return Err("it is as before".into());
        }
        self.builder.pad(x, &edges, mode)
    }

    pub(super) fn gather(&mut self) -> Result<Value, Fault> {
        let x = self.any();
        let axis = self.axis(x)?;
        let size = self.size(x, axis)?;
        let count = self.random.between(1, 4);
        let indices: Vec<usize> = (0..count).map(|_| self.random.between(0, size - 1)).collect();
        self.builder.gather(x, axis, indices)
    }
}
