//! A [`keras::Model`](crate::keras::Model) becomes a TensorFlow graph, and the graph an
//! [`Engine`](crate::engine::Engine). Opens no file of Keras's itself; a SavedModel is TensorFlow's own.
//!
//! [`open`] finds the library, [`loader`] makes engines from packages. The commands that look at one
//! model use [`shapes`] and [`engine`].

mod cores;
mod framing;
mod fusion;
mod graph;
mod inputs;
mod layers;
mod library;
mod loader;
mod memory;
mod opening;
mod ops;
mod outputs;
mod probe;
mod protobuf;
mod run_sizes;
mod saved_model;
mod session;
mod threads;
mod winograd;

pub use self::graph::NodeShape;
pub use self::library::{
    Convolutions, Device, Library, LibraryError, Messages, Prepared, Settings, open, prepare,
};
pub use self::loader::{engine, load, loader, shapes};
pub use self::saved_model::{Description, Element, Signature, TensorInfo, describe};
pub use self::session::{Spread, TensorflowEngine};
pub use self::winograd::{Tile, Winograd};
