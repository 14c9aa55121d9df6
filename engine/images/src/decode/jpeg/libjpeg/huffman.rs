//! Reads bits and Huffman codes of entropy-coded data (ITU-T T.81, annexes C and F).

use super::super::super::DecodeError;

/// Codes of up to this many bits are read by one table lookup.
const SHORT: usize = 9;

/// A Huffman table.
pub(super) struct Table {
    /// By the next bits: the symbol, with the length of its code in the upper bits; 0 for a longer code.
    short: [u16; 1 << SHORT],
    /// By length: the first code that is too large for it, and the offset from a code to the index of its symbol.
    longer: [(i32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// Builds it from the number of codes of each length, 1 to 16, and their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, DecodeError> {
        let mut table = Self { short: [0; 1 << SHORT], longer: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut index) = (0_usize, 0_usize);
        for (length, count) in (1_usize..).zip(counts) {
            let count = usize::from(*count);
            if code + count > 1 << length || index + count > symbols.len() {
                return Err(DecodeError::undecodable("corrupt data (a Huffman table with too many codes)"));
            }
            let signed = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
            table.longer[length] = (signed(code + count), signed(index) - signed(code));
            if let Some(spare) = SHORT.checked_sub(length) {
                for (offset, symbol) in symbols[index..index + count].iter().enumerate() {
                    let entry = u16::try_from(length << 8).unwrap_or(0) | u16::from(*symbol);
                    table.short[(code + offset) << spare..(code + offset + 1) << spare].fill(entry);
                }
            }
            code = (code + count) << 1;
            index += count;
        }
        Ok(table)
    }
}

/// Reads one scan's data, up to the next marker.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// Bits that were read and not used, from the highest bit on.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0 }
    }

    /// Returns the next symbol.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, DecodeError> {
        self.fill();
        let next = usize::try_from(self.buffer >> 48).unwrap_or(0);
        let [length, symbol] = table.short[next >> (16 - SHORT)].to_be_bytes();
        if length != 0 {
            self.take(u32::from(length))?;
            return Ok(symbol);
        }
        for length in SHORT + 1..=16 {
            let code = i32::try_from(next >> (16 - length)).unwrap_or(i32::MAX);
            let (behind, offset) = table.longer[length];
            if code < behind {
                self.take(u32::try_from(length).unwrap_or(16))?;
                let index = usize::try_from(code + offset).unwrap_or(usize::MAX);
                let symbol = table.symbols.get(index).copied();
                return symbol.ok_or_else(|| DecodeError::undecodable("corrupt data (no such Huffman code)"));
            }
        }
        Err(DecodeError::undecodable("corrupt data (no such Huffman code)"))
    }

    /// Returns a number of so many bits, 0 to 16.
    #[inline]
    pub(super) fn number(&mut self, bits: u32) -> Result<i32, DecodeError> {
        if bits == 0 {
            return Ok(0);
        }
        self.fill();
        let number = i32::try_from(self.buffer >> (64 - bits)).unwrap_or(0);
        self.take(bits)?;
        Ok(number)
    }

    /// Returns a signed number as coefficients are coded: the lower half of all patterns is negative.
    #[inline]
    pub(super) fn signed(&mut self, bits: u32) -> Result<i32, DecodeError> {
        let number = self.number(bits)?;
        let is_negative = bits > 0 && number < 1 << (bits - 1);
        Ok(if is_negative { number - (1 << bits) + 1 } else { number })
    }

    /// Continues after the restart marker of this number, 0 to 7.
    pub(super) fn restart(&mut self, number: u8) -> Result<(), DecodeError> {
        (self.buffer, self.count) = (0, 0);
        loop {
            match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(marker)) if *marker == 0xd0 + number => {
                    self.at += 2;
                    return Ok(());
                }
                // Fill bytes, and unused data before the marker.
                (Some(0xff), Some(0x00 | 0xff)) | (Some(0..=0xfe), _) => self.at += 1,
                _ => return Err(DecodeError::undecodable("corrupt data (a restart marker is missing)")),
            }
        }
    }

    #[inline]
    fn take(&mut self, bits: u32) -> Result<(), DecodeError> {
        if bits > self.count {
            return Err(DecodeError::undecodable("it is truncated: the data of a scan ends early"));
        }
        self.buffer <<= bits;
        self.count -= bits;
        Ok(())
    }

    /// Reads until there are more than 32 bits, or the data ends.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 32 {
            if let Some(word) = self.data.get(self.at..).and_then(<[u8]>::first_chunk::<4>)
                && word.iter().all(|byte| *byte != 0xff)
            {
                self.buffer |= u64::from(u32::from_be_bytes(*word)) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                // A marker, or the end.
                (Some(0xff) | None, _) => return,
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }
}
