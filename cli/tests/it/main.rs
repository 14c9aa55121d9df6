//! The command's tests: house rules, the real binary from end to end, the notebook.

mod architecture;
