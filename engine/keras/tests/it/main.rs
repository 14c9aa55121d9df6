//! Files of Keras's against what Keras says of them.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod archives;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod bundles;
#[cfg(test)]
mod importer;
#[cfg(test)]
mod layer_cases;
#[cfg(test)]
mod layer_classes;
#[cfg(test)]
mod layer_files;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod reading;
