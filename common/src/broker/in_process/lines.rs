//! The waiting parts of all clients, and which is next.

use std::collections::BTreeMap;

use crate::ids::ClientName;
use crate::messages::Part;

/// A waiting part.
pub(super) struct QueuedPart {
    pub(super) part: Part,
    pub(super) attempt: u32,
}

/// A line of parts per client.
#[derive(Default)]
pub(super) struct Lines {
    clients: BTreeMap<Option<ClientName>, Line>,
}

#[derive(Default)]
struct Line {
    /// By position; the first is next.
    waiting: BTreeMap<u64, QueuedPart>,
    /// Parts that were taken and have not ended.
    in_hand: u64,
}

impl Lines {
    /// Returns the number of waiting parts.
    pub(super) fn len(&self) -> usize {
        self.clients.values().map(|line| line.waiting.len()).sum()
    }

    /// Appends a part to its client's line.
    pub(super) fn push(&mut self, position: u64, waiting: QueuedPart) {
        self.clients.entry(waiting.part.client.clone()).or_default().waiting.insert(position, waiting);
    }

    /// Takes the first part of the client with the fewest parts in hand; of several clients the one whose part came
    /// first. So a client with many parts delays others only by its parts in hand.
    pub(super) fn take(&mut self) -> Option<(u64, QueuedPart)> {
        let lines = self.clients.values_mut();
        let ranked = lines.filter_map(|line| Some((line.in_hand, *line.waiting.first_key_value()?.0, line)));
        let (_, _, line) = ranked.min_by_key(|(in_hand, position, _)| (*in_hand, *position))?;
        line.in_hand += 1;
        line.waiting.pop_first()
    }

    /// Notes that a taken part has ended or comes back.
    pub(super) fn let_go(&mut self, client: Option<&ClientName>) {
        let client = client.cloned();
        if let Some(line) = self.clients.get_mut(&client) {
            line.in_hand = line.in_hand.saturating_sub(1);
            if line.in_hand == 0 && line.waiting.is_empty() {
                self.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::JobId;
    use crate::messages::sample_part;

    fn line_up(lines: &mut Lines, client: Option<&str>, positions: std::ops::Range<u64>) {
        let client = client.map(|name| ClientName::parse(name).unwrap());
        for position in positions {
            let part = Part { client: client.clone(), ..sample_part(JobId::random(), 0) };
            lines.push(position, QueuedPart { part, attempt: 1 });
        }
    }

    fn taken(lines: &mut Lines, most: usize) -> Vec<u64> {
        std::iter::from_fn(|| lines.take()).map(|(position, _)| position).take(most).collect()
    }

    #[test]
    fn the_client_with_the_fewest_parts_in_hand_is_next_and_keeps_its_order() {
        let mut lines = Lines::default();
        line_up(&mut lines, Some("many"), 0..6);
        assert_eq!(taken(&mut lines, 3), [0, 1, 2]);
        line_up(&mut lines, Some("few"), 6..8);
        line_up(&mut lines, None, 8..9);
        assert_eq!(lines.len(), 6);
        assert_eq!(taken(&mut lines, 3), [6, 8, 7]);
        lines.let_go(Some(&ClientName::parse("many").unwrap()));
        lines.let_go(Some(&ClientName::parse("many").unwrap()));
        line_up(&mut lines, Some("few"), 9..10);
        assert_eq!(taken(&mut lines, 9), [3, 4, 9, 5]);
    }

    #[test]
    fn a_client_without_parts_is_forgotten() {
        let mut lines = Lines::default();
        line_up(&mut lines, Some("one"), 0..2);
        assert_eq!(taken(&mut lines, 9), [0, 1]);
        for _ in 0..2 {
            assert_eq!(lines.clients.len(), 1);
            lines.let_go(Some(&ClientName::parse("one").unwrap()));
        }
        assert!(lines.clients.is_empty());
    }
}
