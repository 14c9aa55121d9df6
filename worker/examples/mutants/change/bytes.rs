//! Changes without knowledge of the format.

use crate::random::Random;

/// Makes one to four changes.
pub(crate) fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        once(bytes, random);
    }
}

fn once(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let at = random.below(length);
    let some = 1 + random.below(64.min(length - at));
    match random.below(8) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, b'"', b'[', b'9']),
        3 => {
            let number = random.number(length);
            overwrite(bytes, at, &number.to_le_bytes()[..random.pick([1, 2, 4, 8])]);
        }
        4 => {
            // Copies bytes to another position of the file.
            let from = random.below(length - some + 1);
            bytes.copy_within(from..from + some, at);
        }
        5 => {
            let piece = bytes[at..at + some].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => drop(bytes.drain(at..at + some)),
        _ => bytes.truncate(at),
    }
}

/// Overwrites the bytes at `at`, as far as the file extends.
pub(crate) fn overwrite(bytes: &mut [u8], at: usize, piece: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(piece) {
        *byte = *new;
    }
}
