//! Graphs as other crates build them.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod passes;
#[cfg(test)]
mod random_graphs;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod text;
