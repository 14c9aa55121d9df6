//! The worker's recent throughput.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Seconds over which rates are averaged.
const WINDOW: u64 = 10;

/// Counts parts and images; shared between the intake and the reports.
#[derive(Debug)]
pub struct Throughput {
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    images_total: u64,
    /// One slot for each of the last ten seconds and the current one, indexed by the second.
    slots: [Slot; WINDOW as usize + 1],
}

#[derive(Debug, Default, Clone, Copy)]
struct Slot {
    second: u64,
    parts: u64,
    images: u64,
}

/// The work of the last ten seconds, and since the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Images per second.
    pub images_per_second: f64,
    /// Parts per second.
    pub parts_per_second: f64,
    /// Images since the start.
    pub images_total: u64,
}

impl Default for Throughput {
    fn default() -> Self {
        Self { started: Instant::now(), counts: Mutex::default() }
    }
}

impl Throughput {
    /// Counts a part with this many images.
    pub fn record(&self, images: u64) {
        let second = self.started.elapsed().as_secs();
        let mut counts = self.counts();
        counts.images_total += images;
        let slot = &mut counts.slots[(second % (WINDOW + 1)) as usize];
        if slot.second != second {
            *slot = Slot { second, parts: 0, images: 0 };
        }
        slot.parts += 1;
        slot.images += images;
    }

    /// Returns the rates over the last ten whole seconds, or since the start if that is shorter.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let age = self.started.elapsed();
        let now = age.as_secs();
        let counts = self.counts();
        let recent = counts.slots.iter().filter(|slot| {
            // The current second is not complete: it counts only while the window is not full yet.
            slot.second + WINDOW >= now && (slot.second < now || now < WINDOW)
        });
        let (parts, images) = recent.fold((0, 0), |(p, i), slot| (p + slot.parts, i + slot.images));
        let seconds = age.as_secs_f64().clamp(1.0, WINDOW as f64);
        Rates {
            images_per_second: images as f64 / seconds,
            parts_per_second: parts as f64 / seconds,
            images_total: counts.images_total,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_taken_over_the_last_ten_seconds() {
        let throughput = Throughput::default();
        for _ in 0..20 {
            throughput.record(8);
            advance(Duration::from_secs(1)).await;
        }
        let rates = throughput.rates();
        assert_eq!((rates.images_per_second, rates.parts_per_second), (8.0, 1.0));
        assert_eq!(rates.images_total, 160);

        advance(Duration::from_secs(5)).await;
        assert_eq!(throughput.rates().images_per_second, 4.0);
        advance(Duration::from_secs(60)).await;
        assert_eq!(
            throughput.rates(),
            Rates { images_per_second: 0.0, parts_per_second: 0.0, images_total: 160 }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_worker_shows_a_rate_at_once() {
        let throughput = Throughput::default();
        throughput.record(8);
        assert_eq!(throughput.rates().images_per_second, 8.0);
        advance(Duration::from_secs(4)).await;
        assert_eq!(throughput.rates().images_per_second, 2.0);
    }
}
