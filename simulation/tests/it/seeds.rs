//! Many seeds, none of which may break a promise.

use std::sync::atomic::{AtomicU64, Ordering};

use simulation::options::Options;
use simulation::plan::Plan;
use simulation::run;

/// How many.
const SEEDS: u64 = 2000;

#[test]
fn no_seed_breaks_a_promise() {
    let (next, found) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while found.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    if !run::seed(seed, Options::default()).is_sound() {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let found = found.into_inner();
    assert!(found == u64::MAX, "{}", run::report(&Plan::of(found), Options::default()));
}
