//! Counts the pixels of a run-length encoded BMP without decoding it. Decoders fill skipped pixels differently.

/// Compression of 4 bits a pixel; that of 8 bits is 1.
const OF_FOUR_BITS: u16 = 2;

/// Returns whether the runs cover all pixels, row by row.
pub(super) fn are_whole(bytes: &[u8], (width, height): (usize, usize), compression: u16) -> bool {
    let start = bytes.get(10..14).map_or(0, |at| u32::from_le_bytes([at[0], at[1], at[2], at[3]]));
    let mut runs = bytes.get(start as usize..).unwrap_or_default();
    let (mut rows, mut given) = (0, 0);
    while let [count, second, behind @ ..] = runs {
        runs = behind;
        match (*count, usize::from(*second)) {
            // The end of a row, and of the image.
            (0, end @ 0..=1) => {
                if given == width {
                    (rows, given) = (rows + 1, 0);
                } else if given != 0 || end == 0 {
                    return false;
                }
                if end == 1 {
                    break;
                }
            }
            // A jump to another position.
            (0, 2) => return false,
            (0, count) => {
                let stored = if compression == OF_FOUR_BITS { count.div_ceil(2) } else { count };
                runs = runs.get(stored.next_multiple_of(2)..).unwrap_or_default();
                given += count;
            }
            (count, _) => given += usize::from(count),
        }
    }
    rows == height || (rows + 1 == height && given == width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_pixels_out_is_found() {
        let whole = |runs: &[u8]| are_whole(&[&[0; 10][..], &[14, 0, 0, 0], runs].concat(), (3, 2), 1);
        assert!(whole(&[3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 0, 1]));
        assert!(whole(&[3, 7, 0, 0, 2, 7, 1, 8]));
        for runs in [
            &[2, 7, 0, 0, 3, 7, 0, 1][..],
            &[3, 7, 0, 1],
            &[3, 7, 0, 0, 2, 7, 0, 1],
            &[0, 2, 3, 0, 3, 7, 0, 1],
            &[],
        ] {
            assert!(!whole(runs), "{runs:?}");
        }
        assert!(are_whole(
            &[&[0; 10][..], &[14, 0, 0, 0], &[0, 3, 0x12, 0x30, 0, 0, 3, 0x12, 0, 1]].concat(),
            (3, 2),
            2
        ));
    }
}
