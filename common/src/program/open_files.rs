//! How many files the process may have open, of which every connection is one.

/// Raises the soft limit of open files to the hard one, and returns what it is then; `None` where the system does not
/// tell. The soft limit is 1,024 in most places, for the sake of programs that use `select`.
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
