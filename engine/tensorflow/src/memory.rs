//! Returns memory that was needed only for a while to the system.

/// Returns free memory to the system, and the pages of the library's files that only loading needed.
///
/// Loading a model takes several times its size for a moment. The C library keeps freed memory for later use, which pays
/// only if models are loaded all the time. TensorFlow's library itself has some 250 MB, most of which is read only while it
/// is opened.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library's memory is reached through C only")]
    // SAFETY: `malloc_trim` may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
    #[cfg(target_os = "linux")]
    files::forget();
}

/// Calls [`give_back`] when it is dropped.
pub(super) struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        give_back();
    }
}

#[cfg(target_os = "linux")]
mod files {
    use std::ops::Range;

    /// What the names of TensorFlow's libraries begin with.
    const NAME: &str = "/libtensorflow";

    /// Takes the pages of TensorFlow's libraries off this process. They stay in the system's cache, from
    /// where those that are used again come back.
    pub(super) fn forget() {
        let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return };
        for pages in unwritten(&smaps) {
            #[expect(unsafe_code, reason = "the standard library knows no advice on memory")]
            // SAFETY: the range is mapped, since a library that was opened is never closed, and no page in
            // it was ever written nor can be: each is the file's, before as after.
            unsafe {
                libc::madvise(pages.start as *mut libc::c_void, pages.len(), libc::MADV_DONTNEED);
            }
        }
    }

    /// Address ranges of the libraries that cannot be written and hold no page of the process's own: what
    /// was relocated would be lost.
    pub(super) fn unwritten(smaps: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut candidate = None;
        for line in smaps.lines() {
            if let Some(pages) = begin_of_mapping(line) {
                let read_only = line.split_whitespace().nth(1).is_some_and(|rights| !rights.contains('w'));
                candidate = (read_only && line.contains(NAME)).then_some(pages);
            } else if let Some(own) = line.strip_prefix("Anonymous:")
                && own.trim() == "0 kB"
            {
                found.extend(candidate.take());
            }
        }
        found
    }

    /// The addresses, where the line is the first of a mapping.
    fn begin_of_mapping(line: &str) -> Option<Range<usize>> {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_pages_that_are_the_files_own_are_forgotten() {
            let mapping = |address: &str, rights: &str, name: &str, anonymous: u32| {
                format!("{address} {rights} 00000000 08:01 7 {name}\nRss: 9 kB\nAnonymous: {anonymous} kB\n")
            };
            let smaps = [
                mapping("1000-3000", "r--p", "/lib/libtensorflow_cc.so.2", 0),
                mapping("3000-4000", "r-xp", "/lib/libtensorflow_cc.so.2", 0),
                mapping("4000-5000", "r--p", "/lib/libtensorflow_cc.so.2", 4),
                mapping("5000-6000", "rw-p", "/lib/libtensorflow_cc.so.2", 0),
                mapping("6000-7000", "r-xp", "/lib/libc.so.6", 0),
                mapping("7000-8000", "r--p", "", 0),
            ];
            assert_eq!(unwritten(&smaps.concat()), [0x1000..0x3000, 0x3000..0x4000]);
        }
    }
}
