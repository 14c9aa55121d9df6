//! The command's tests: architecture rules, the real binary from end to end, the notebook; and API and workers
//! together, in one process and as a fleet.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod check;
#[cfg(test)]
mod escapes;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod library;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod notebook;
#[cfg(test)]
mod package_tool;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod swap;
#[cfg(test)]
mod tutorials;
