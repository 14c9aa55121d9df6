//! What API and worker do together.

mod swap;
