//! Memory that was needed only for a while goes back to the system.

/// Gives back what is free.
///
/// Loading a model needs several times its size for a moment. The C library keeps what was freed for
/// later, which would be right if a model were loaded every second.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library's memory is reached through C only")]
    // SAFETY: `malloc_trim` may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back what is free when it is dropped.
pub(super) struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        give_back();
    }
}
