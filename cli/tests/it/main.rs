//! What API and worker do together.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test there")]

mod swap;
