//! Changes to the structures of an HDF5 file, and to the model's JSON in it.

use serde_json::{Deserializer, Value};

use super::{bytes, json};
use crate::random::Random;

/// The signatures of superblock, groups' trees and heaps, and newer headers and heaps.
const SIGNATURES: [&[u8; 4]; 9] =
    [b"\x89HDF", b"TREE", b"HEAP", b"SNOD", b"GCOL", b"OHDR", b"OCHK", b"FRHP", b"BTHD"];

/// How far from its start a structure is changed, in bytes.
const REACH: usize = 96;

/// Writes numbers over fields of one to three structures.
pub(crate) fn change_structure(file: &mut [u8], random: &mut Random) {
    let positions = positions(file);
    if positions.is_empty() {
        return;
    }
    for _ in 0..=random.below(3) {
        let size = random.pick([1, 2, 4, 8]);
        // Fields of these sizes are usually aligned.
        let at = positions[random.below(positions.len())] + random.below(REACH) / size * size;
        if random.one_in(3) {
            let nearby = random.pick([1_u8, 0xff, 8, 0xf8]);
            if let Some(byte) = file.get_mut(at) {
                *byte = byte.wrapping_add(nearby);
            }
        } else {
            let number = random.number(file.len());
            bytes::overwrite(file, at, &number.to_le_bytes()[..size]);
        }
    }
}

/// Returns the positions of structures.
fn positions(file: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    for (at, window) in file.windows(12).enumerate() {
        let signed = SIGNATURES.iter().any(|signature| window.starts_with(*signature));
        // An object header of the first version: version, reserved, number of messages, references to it.
        let is_header = at % 8 == 0
            && window[..2] == [1, 0]
            && (1..64).contains(&window[2])
            && window[3] == 0
            && window[4..8] == [1, 0, 0, 0];
        if signed || is_header {
            positions.push(at);
        }
    }
    positions
}

/// Changes a value of the model's JSON, or its text if the result would not fit.
pub(crate) fn change_text(file: &mut [u8], random: &mut Random) {
    let starts = [&b"{\"class_name\""[..], b"{\"module\"", b"{\"name\""];
    let begin = file.windows(16).position(|window| starts.iter().any(|start| window.starts_with(start)));
    let Some(begin) = begin else { return };
    let mut stream = Deserializer::from_slice(&file[begin..]).into_iter::<Value>();
    let Some(Ok(value)) = stream.next() else { return };
    let end = begin + stream.byte_offset();
    for _ in 0..4 {
        let mut value = value.clone();
        for _ in 0..=random.below(2) {
            json::change_value(&mut value, random);
        }
        let mut text = value.to_string().into_bytes();
        if text.len() <= end - begin {
            text.resize(end - begin, b' ');
            file[begin..end].copy_from_slice(&text);
            return;
        }
    }
    for _ in 0..8 {
        let at = begin + random.below(end - begin);
        if file[at].is_ascii_digit() {
            file[at] = random.pick([b'0', b'1', b'9', b'-', b'.', b'e']);
        }
    }
}
