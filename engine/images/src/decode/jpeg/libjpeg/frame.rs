//! The frame of a JPEG as its segments describe it, and the coefficients of its scans.

use super::super::super::DecodeError;
use super::huffman::Table;

/// The order in which coefficients are written: the position of each in the block (T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The current tables, which segments between scans may replace.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    /// Units between two restart markers, 0 for none.
    pub(super) restart_interval: usize,
}

impl Tables {
    /// Reads a DQT segment's body; the table is in natural order.
    pub(super) fn quantize(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        while let Some((first, rest)) = body.split_first() {
            let (size, slot) = (usize::from(first >> 4), usize::from(first & 15));
            let bytes = if size == 0 { 64 } else { 128 };
            let (true, Some(values)) = (size < 2 && slot < 4, rest.get(..bytes)) else {
                return Err(corrupt("a quantization table"));
            };
            let mut table = [0; 64];
            for (position, value) in ZIGZAG.iter().zip(values.chunks_exact(bytes / 64)) {
                table[usize::from(*position)] = value.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            }
            self.quantization[slot] = Some(table);
            body = &rest[bytes..];
        }
        Ok(())
    }

    /// Reads a DHT segment's body.
    pub(super) fn code(&mut self, mut body: &[u8]) -> Result<(), DecodeError> {
        while let Some((first, rest)) = body.split_first() {
            let counts = rest.first_chunk::<16>().ok_or_else(|| corrupt("a Huffman table"))?;
            let symbols: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let listed = rest.get(16..16 + symbols).ok_or_else(|| corrupt("a Huffman table"))?;
            let table = Table::new(counts, listed)?;
            match (first >> 4, usize::from(first & 15)) {
                (0, slot @ 0..4) => self.dc[slot] = Some(table),
                (1, slot @ 0..4) => self.ac[slot] = Some(table),
                _ => return Err(corrupt("a Huffman table")),
            }
            body = &rest[16 + symbols..];
        }
        Ok(())
    }
}

/// A component of the frame.
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Index of its quantization table; the table is that of its first scan.
    pub(super) slot: usize,
    pub(super) quantization: Option<[u16; 64]>,
    /// Samples, without the padding of the last blocks.
    pub(super) height: usize,
    pub(super) width: usize,
    /// Blocks per row, including those that fill the last unit.
    pub(super) stride: usize,
    /// In natural order, block after block.
    pub(super) coefficients: Vec<[i16; 64]>,
    /// For each coefficient in file order, how many of its lower bits are still missing.
    pub(super) missing: [Option<u8>; 64],
}

/// The frame.
pub(super) struct Frame {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) is_progressive: bool,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors.
    pub(super) most_columns: usize,
    pub(super) most_rows: usize,
}

impl Frame {
    /// Reads a SOF segment's body.
    pub(super) fn new(marker: u8, body: &[u8]) -> Result<Self, DecodeError> {
        if !matches!(marker, 0xc0..=0xc2) {
            return Err(DecodeError::undecodable("unsupported variant (neither baseline nor progressive)"));
        }
        let header = body.first_chunk::<6>().ok_or_else(|| corrupt("the frame header"))?;
        let [precision, count] = [header[0], header[5]];
        let side = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
        let (height, width) = (side(header[1], header[2]), side(header[3], header[4]));
        let listed = body.get(6..6 + 3 * usize::from(count)).ok_or_else(|| corrupt("the frame header"))?;
        if precision != 8 || !matches!(count, 1 | 3 | 4) {
            return Err(DecodeError::Undecodable(format!(
                "unsupported variant ({count} components of {precision} bits)"
            )));
        }
        if height == 0 || width == 0 {
            return Err(DecodeError::undecodable("unsupported variant (the frame header names no size)"));
        }
        let factors = |packed: u8| (usize::from(packed >> 4), usize::from(packed & 15));
        let all = || listed.chunks_exact(3).map(|entry| factors(entry[1]));
        if all().any(|(columns, rows)| !(1..=4).contains(&columns) || !(1..=4).contains(&rows)) {
            return Err(corrupt("the sampling factors"));
        }
        let most_columns = all().map(|(columns, _)| columns).max().unwrap_or(1);
        let most_rows = all().map(|(_, rows)| rows).max().unwrap_or(1);
        let units = (height.div_ceil(8 * most_rows), width.div_ceil(8 * most_columns));
        let component = |entry: &[u8]| {
            let (columns, rows) = factors(entry[1]);
            let stride = units.1 * columns;
            Component {
                id: entry[0],
                columns,
                rows,
                slot: usize::from(entry[2]),
                quantization: None,
                height: (height * rows).div_ceil(most_rows),
                width: (width * columns).div_ceil(most_columns),
                stride,
                coefficients: vec![[0; 64]; stride * units.0 * rows],
                missing: [None; 64],
            }
        };
        let components = listed.chunks_exact(3).map(component).collect();
        let is_progressive = marker == 0xc2;
        Ok(Self { height, width, is_progressive, components, most_columns, most_rows })
    }

    /// Rows and columns of units in scans of several components.
    pub(super) fn units(&self) -> (usize, usize) {
        (self.height.div_ceil(8 * self.most_rows), self.width.div_ceil(8 * self.most_columns))
    }
}

pub(super) fn corrupt(what: &str) -> DecodeError {
    DecodeError::Undecodable(format!("corrupt data ({what})"))
}
