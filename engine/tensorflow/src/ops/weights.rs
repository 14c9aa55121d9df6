//! Weights: constants, and variables for what is large.

use std::sync::atomic::{AtomicU64, Ordering};

use tensorflow::{DataType, Operation, Output, Shape};

use super::{Fault, Ops};
use crate::spread::Spread;
use model::Tensor;

/// A matrix of this many elements, 16 MiB, or more is a variable.
const LARGE: usize = 4 << 20;

/// A variable that is assigned its value when the session is opened.
pub(crate) struct Variable {
    /// The placeholder of the value.
    pub(crate) feed: Output,
    /// The operation that assigns it.
    pub(crate) assign: Operation,
    pub(crate) value: Tensor,
    /// The type that it is stored in: float32 or bfloat16.
    pub(crate) data_type: DataType,
    /// The runs that read it.
    pub(crate) readers: Vec<Spread>,
    /// The operation that reads it.
    read: Output,
}

impl Ops {
    /// Adds weights as a constant, which TensorFlow can fold and fuse.
    pub(crate) fn weights(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        let known = self.weights.iter().find(|(known, _)| known.is_same(tensor));
        if let Some((_, known)) = known {
            return Ok(known.clone());
        }
        let output = self.constant(&tensor.shape, &tensor.values)?;
        self.weights.push((tensor.clone(), output.clone()));
        Ok(output)
    }

    /// Adds the weights of a matrix product. TensorFlow keeps about five copies of a constant, and twelve while it optimizes
    /// a graph. It keeps one copy of a variable. A matrix product is as quick with a variable, unlike a convolution. So the
    /// matrices that make some networks large are variables.
    pub(crate) fn matrix(&mut self, tensor: &Tensor) -> Result<Output, Fault> {
        if tensor.values.len() < LARGE {
            self.weights(tensor)
        } else {
            self.variable(tensor, DataType::Float)
        }
    }

    /// Adds weights as a variable, which is assigned before the first run.
    pub(super) fn variable(&mut self, tensor: &Tensor, data_type: DataType) -> Result<Output, Fault> {
        let spread = self.spread;
        if let Some(known) = self
            .variables
            .iter_mut()
            .find(|known| known.value.is_same(tensor) && known.data_type == data_type)
        {
            if !known.readers.contains(&spread) {
                known.readers.push(spread);
            }
            return Ok(known.read.clone());
        }
        let shape = Shape::new(Some(tensor.shape.iter().map(|size| Some(*size as i64)).collect()));
        // Two sessions that share a device's memory would share variables of the same name.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("weights{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let name = self.next_name("VarHandleOp");
        let mut handle = self.graph.new_operation("VarHandleOp", &name)?;
        handle.set_attr_type("dtype", data_type)?;
        handle.set_attr_shape("shape", &shape)?;
        handle.set_attr_string("shared_name", &unique)?;
        let handle: Output = handle.finish()?.into();

        let feed = self.placeholder(data_type, &shape)?;

        let name = self.next_name("AssignVariableOp");
        let mut assign = self.graph.new_operation("AssignVariableOp", &name)?;
        assign.add_input(handle.clone());
        assign.add_input(feed.clone());
        let assign = assign.finish()?;
        let name = self.next_name("ReadVariableOp");
        let mut read = self.graph.new_operation("ReadVariableOp", &name)?;
        read.add_input(handle);
        read.set_attr_type("dtype", data_type)?;
        let read: Output = read.finish()?.into();
        let (value, readers) = (tensor.clone(), vec![spread]);
        self.variables.push(Variable { feed, assign, value, data_type, readers, read: read.clone() });
        Ok(read)
    }
}
