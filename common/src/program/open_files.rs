//! The limit of open files, which includes connections.

/// Raises the soft limit of open files to the hard one, and returns it; `None` if the system does not tell. The soft
/// limit is 1,024 on most systems, for programs that use `select`.
#[must_use]
pub fn raise_open_files() -> Option<u64> {
    rlimit::increase_nofile_limit(u64::MAX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_once_it_stays() {
        let limit = raise_open_files();
        assert!(limit.is_some_and(|files| files > 0));
        assert_eq!(raise_open_files(), limit);
    }
}
