//! Opens sessions and gives their variables values.

use tensorflow::{BFloat16, DataType, Graph, Session, SessionOptions, SessionRunArgs, Status, Tensor};

use super::ops::{Variable, native, rounded};
use super::protobuf::Message;
use super::spread::Spread;
use engine::EngineError;

/// Opens a session on a graph, which may not grow from here on. Each operation runs on one thread.
pub(super) fn open(graph: &Graph) -> Result<Session, Status> {
    open_for(graph, 1)
}

/// Opens a session that splits each operation among so many threads.
pub(super) fn open_for(graph: &Graph, threads: usize) -> Result<Session, Status> {
    let mut options = SessionOptions::new();
    options.set_config(config(threads).bytes())?;
    Session::new(&options, graph)
}

/// `ConfigProto`
fn config(threads: usize) -> Message {
    let gpu = Message::default().integer(4, 1); // allow_growth: leave room for other models and processes
    let experimental = Message::default()
        .integer(12, 1) // optimize_for_static_graph: the graph never grows, so its first form is not kept
        .integer(14, 1); // disable_output_partition_graphs: nor is another copy for debugging
    Message::default()
        .integer(2, i64::try_from(threads).unwrap_or(1)) // intra_op_parallelism_threads: threads per operation
        .integer(5, -1) // inter_op_parallelism_threads: a run stays on the thread that asks for it
        .message(6, &gpu)
        .integer(7, 1) // allow_soft_placement: what a GPU cannot do, the CPU does
        .message(16, &experimental)
}

/// Assigns the variables their values. A session gets the variables that its runs read. All sessions share one copy of each
/// value, since a variable keeps the tensor that it is fed. Our own copies are dropped one by one as TensorFlow gets its
/// own.
pub(super) fn assign(sessions: &[(&Session, Spread)], variables: Vec<Variable>) -> Result<(), EngineError> {
    let own = |variable: Variable| {
        let shape = &variable.value.shape;
        let value = if variable.data_type == DataType::BFloat16 {
            Value::Half(native(shape, &rounded(&variable.value.values)))
        } else {
            Value::Single(native(shape, &variable.value.values))
        };
        (variable.feed, variable.assign, variable.readers, value)
    };
    let variables: Vec<_> = variables.into_iter().map(own).collect();
    for (session, spread) in sessions {
        let mut arguments = SessionRunArgs::new();
        let mut any = false;
        for (feed, assign, readers, value) in &variables {
            if !readers.contains(spread) {
                continue;
            }
            match value {
                Value::Single(value) => arguments.add_feed(&feed.operation, feed.index, value),
                Value::Half(value) => arguments.add_feed(&feed.operation, feed.index, value),
            }
            arguments.add_target(assign);
            any = true;
        }
        if any {
            session.run(&mut arguments).map_err(failed)?;
        }
    }
    Ok(())
}

/// The value of a variable.
enum Value {
    Single(Tensor<f32>),
    Half(Tensor<BFloat16>),
}

pub(super) fn failed(status: Status) -> EngineError {
    EngineError(format!("TensorFlow: {status}"))
}
