//! A [`model::Graph`] becomes a TensorFlow graph, and that an [`Engine`](engine::Engine). This crate reads no model file but
//! SavedModels, which are TensorFlow's own.
//!
//! [`open`] finds the library, [`load`] makes an engine of a model with a package's config, [`load_saved_model`] one of a
//! SavedModel. The commands that look at one model use [`engine()`].

mod cores;
mod emit;
mod graph;
mod inputs;
mod library;
mod loader;
mod memory;
mod opening;
mod ops;
mod plan;
mod probe;
mod protobuf;
mod run_sizes;
mod saved_model;
mod session;
mod spread;
mod startup;
mod target;
mod threads;
mod trial;
mod winograd;

pub use self::library::{Convolutions, Library, LibraryError, Messages, Settings};
pub use self::loader::{engine, load};
pub use self::saved_model::{
    Description, Element, Signature, TensorInfo, describe, load as load_saved_model,
};
pub use self::session::TensorflowEngine;
pub use self::spread::Spread;
pub use self::startup::{Prepared, open, prepare};
pub use self::winograd::{Tile, Winograd};
