//! The REST API of the image classification service: admission, waiting, fleet control.

pub mod rollout;
