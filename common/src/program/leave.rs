//! Ends a process with threads that cannot be ended.

/// Ends the process at once, without the exit handlers of native libraries: these must not run while the libraries' own
/// threads still load or compute. A process that runs models always ends so.
#[expect(unsafe_code, reason = "the C library's own `_exit` is the only way around exit handlers")]
pub fn leave(code: u8) -> ! {
    // SAFETY: it takes a number, touches no memory of ours and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}
