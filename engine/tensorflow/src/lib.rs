//! A [`keras::Model`] becomes a TensorFlow graph, and the graph an [`Engine`](engine::Engine). This crate opens no file of
//! Keras's itself; a SavedModel is TensorFlow's own.
//!
//! [`open`] finds the library, [`load`] makes an engine of a model with a package's config, [`load_saved_model`] one of a
//! SavedModel. The commands that look at one model use [`shapes`] and [`engine()`].

mod cores;
mod fusion;
mod graph;
mod image_input;
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
pub use self::library::{Convolutions, Library, LibraryError, Messages, Prepared, Settings, open, prepare};
pub use self::loader::{engine, load, shapes};
pub use self::saved_model::{
    Description, Element, Signature, TensorInfo, describe, load as load_saved_model,
};
pub use self::session::{Spread, TensorflowEngine};
pub use self::winograd::{Tile, Winograd};
