//! The resources that a parser may use, and how much of them this process uses.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use testing::time_to_read;

/// CPU time for one mutant with TensorFlow, including TensorFlow's start.
const TIME_WITH_GRAPH: Duration = Duration::from_secs(10);

/// Wall time: far more, since the machine may be busy. A parser that waits forever is found nevertheless.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes for the mutant of a file of this size.
pub(crate) fn memory_for(file: usize) -> u64 {
    4 * file as u64 + (256 << 20)
}

/// Removes the limit on the process's size.
pub(crate) fn allow_any_memory() -> Result<()> {
    limit_addresses(libc::RLIM_INFINITY)
}

/// Makes an allocation fail that would grow the process by more than `more` bytes, which ends it.
pub(crate) fn allow_memory(more: u64) -> Result<()> {
    limit_addresses(pages()?[0].saturating_add(more))
}

fn limit_addresses(bytes: u64) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    #[expect(unsafe_code, reason = "the limit is a valid structure that outlives the call")]
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } != 0;
    if failed {
        bail!("the limit on memory cannot be set: {}", std::io::Error::last_os_error());
    }
    Ok(())
}

/// Ends the process when its time for a mutant of this size is over.
pub(crate) fn start_clock(file: usize, has_graph: bool) -> Result<()> {
    let processor = if has_graph { TIME_WITH_GRAPH } else { time_to_read(file) };
    for (clock, time) in [(libc::ITIMER_PROF, processor), (libc::ITIMER_REAL, PATIENCE)] {
        let zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let it_value = libc::timeval {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_usec: i64::from(time.subsec_micros()),
        };
        let timer = libc::itimerval { it_interval: zero, it_value };
        #[expect(unsafe_code, reason = "the timer is a valid structure, and the old one is not asked for")]
        let failed = unsafe { libc::setitimer(clock, &raw const timer, std::ptr::null_mut()) } != 0;
        if failed {
            bail!("the clock cannot be set: {}", std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Returns the bytes in memory now.
pub(crate) fn resident() -> Result<u64> {
    Ok(pages()?[1])
}

/// Resets the peak of the process's memory.
pub(crate) fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("the largest memory cannot be forgotten")
}

/// Returns the peak of the process's memory since [`forget_peak`].
pub(crate) fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context("the system does not say how much memory is held")? << 10)
}

/// Bytes of address space, and of resident memory.
fn pages() -> Result<[u64; 2]> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let mut numbers = text.split(' ').map(|number| number.parse::<u64>().map(|pages| pages * 4096));
    match (numbers.next(), numbers.next()) {
        (Some(Ok(all)), Some(Ok(resident))) => Ok([all, resident]),
        _ => bail!("`/proc/self/statm` is {text:?}, expected numbers of pages"),
    }
}
