//! Ending a process whose threads nothing can end.

/// Ends the process at once, without the exit handlers of native libraries, which must not run beside threads of
/// theirs that still load or compute. A process that runs models ends so, whatever they do.
#[expect(unsafe_code, reason = "the C library's own `_exit` is the only way around exit handlers")]
pub fn leave(code: u8) -> ! {
    // SAFETY: it takes a number, touches no memory of ours and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}
