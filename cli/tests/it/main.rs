//! The command's tests: house rules, the real binary from end to end, the notebook.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod architecture;
