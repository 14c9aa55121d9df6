//! Decodes one scan's data into coefficients (T.81, annexes F and G).

use super::super::super::DecodeError;
use super::frame::{Component, Frame, Tables, ZIGZAG, corrupt};
use super::huffman::{Bits, Table};

/// The parameters of a scan.
pub(super) struct Scan {
    /// Indices of components, each with its DC and AC tables.
    parts: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient.
    band: (usize, usize),
    /// How many lower bits follow in later scans, and how many did in the previous one; 0 in a first scan.
    low: u8,
    high: u8,
}

impl Scan {
    /// Reads a SOS segment's body.
    pub(super) fn new(body: &[u8], frame: &Frame) -> Result<Self, DecodeError> {
        let fault = || corrupt("a scan header");
        let count = usize::from(*body.first().ok_or_else(fault)?);
        let listed = body.get(1..1 + 2 * count).ok_or_else(fault)?;
        let rest = body.get(1 + 2 * count..).and_then(<[u8]>::first_chunk::<3>).ok_or_else(fault)?;
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for entry in listed.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == entry[0]);
            let index = index.filter(|index| parts.iter().all(|(other, ..)| other != index));
            let (dc, ac) = (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
            parts.push((index.ok_or_else(fault)?, dc, ac));
        }
        let band = if frame.is_progressive { (usize::from(rest[0]), usize::from(rest[1])) } else { (0, 63) };
        let (high, low) = if frame.is_progressive { (rest[2] >> 4, rest[2] & 15) } else { (0, 0) };
        let is_sound = match band {
            (0, last) if frame.is_progressive => last == 0,
            (0, _) => true,
            (first, last) => first <= last && last < 64 && parts.len() == 1,
        };
        let blocks =
            |part: &(usize, usize, usize)| frame.components[part.0].columns * frame.components[part.0].rows;
        let is_small = parts.len() == 1 || parts.iter().map(blocks).sum::<usize>() <= 10;
        if !is_sound || parts.is_empty() || !is_small || low > 13 || (high != 0 && high != low + 1) {
            return Err(fault());
        }
        Ok(Self { parts, band, low, high })
    }

    /// Decodes its data. `goes_on` is called at each row.
    pub(super) fn read(
        &self,
        data: &[u8],
        frame: &mut Frame,
        tables: &Tables,
        goes_on: &dyn Fn() -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        for (index, ..) in &self.parts {
            let component = &mut frame.components[*index];
            if component.quantization.is_none() {
                component.quantization = tables.quantization.get(component.slot).copied().flatten();
            }
            for missing in &mut component.missing[self.band.0..=self.band.1] {
                // Previous scans must match what this one refines.
                let is_next = if self.high == 0 { missing.is_none() } else { *missing == Some(self.high) };
                if !is_next {
                    return Err(corrupt("a scan out of order"));
                }
                *missing = Some(self.low);
            }
        }
        let mut state = State { bits: Bits::new(data), previous: [0; 4], empty: 0 };
        let (rows, columns) = match self.parts[..] {
            [(index, ..)] => {
                let component = &frame.components[index];
                (component.height.div_ceil(8), component.width.div_ceil(8))
            }
            _ => frame.units(),
        };
        let (mut left, mut number) = (tables.restart_interval, 0);
        for row in 0..rows {
            goes_on()?;
            for column in 0..columns {
                if tables.restart_interval > 0 {
                    if left == 0 {
                        state.bits.restart(number)?;
                        (state.previous, state.empty) = ([0; 4], 0);
                        (left, number) = (tables.restart_interval, (number + 1) % 8);
                    }
                    left -= 1;
                }
                self.unit((row, column), frame, tables, &mut state)?;
            }
        }
        Ok(())
    }

    fn unit(
        &self,
        (row, column): (usize, usize),
        frame: &mut Frame,
        tables: &Tables,
        state: &mut State<'_>,
    ) -> Result<(), DecodeError> {
        if let [part] = self.parts[..] {
            return self.block((row, column), &mut frame.components[part.0], (part, tables), state);
        }
        for part in &self.parts {
            let component = &mut frame.components[part.0];
            let (rows, columns) = (component.rows, component.columns);
            for position in 0..rows * columns {
                let at = (row * rows + position / columns, column * columns + position % columns);
                self.block(at, component, (*part, tables), state)?;
            }
        }
        Ok(())
    }

    fn block(
        &self,
        (row, column): (usize, usize),
        component: &mut Component,
        (part, tables): ((usize, usize, usize), &Tables),
        state: &mut State<'_>,
    ) -> Result<(), DecodeError> {
        let block = &mut component.coefficients[row * component.stride + column];
        let missing = || corrupt("a Huffman table is missing");
        if self.band.0 == 0 {
            if self.high > 0 {
                block[0] |= low(state.bits.number(1)? << self.low);
                return Ok(());
            }
            let table = tables.dc.get(part.1).and_then(Option::as_ref).ok_or_else(missing)?;
            let size = u32::from(state.bits.symbol(table)?).min(16);
            let previous = &mut state.previous[part.0];
            *previous = previous.wrapping_add(state.bits.signed(size)?);
            block[0] = low(*previous << self.low);
        }
        if self.band.1 == 0 {
            return Ok(());
        }
        let table = tables.ac.get(part.2).and_then(Option::as_ref).ok_or_else(missing)?;
        let band = (self.band.0.max(1), self.band.1);
        match self.high {
            0 => state.first(block, table, band, self.low),
            _ => state.refine(block, table, band, low(1 << self.low)),
        }
    }
}

/// The state between two blocks of a scan.
struct State<'a> {
    bits: Bits<'a>,
    /// The last DC value of each component.
    previous: [i32; 4],
    /// Number of following blocks without new data.
    empty: u32,
}

impl State<'_> {
    /// Decodes a band of coefficients for the first time.
    #[inline]
    fn first(
        &mut self,
        block: &mut [i16; 64],
        table: &Table,
        (first, last): (usize, usize),
        shift: u8,
    ) -> Result<(), DecodeError> {
        if self.empty > 0 {
            self.empty -= 1;
            return Ok(());
        }
        let mut at = first;
        while at <= last {
            let symbol = self.bits.symbol(table)?;
            let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, size) {
                (15, 0) => at += 16,
                (_, 0) => {
                    self.empty = self.run(symbol >> 4)? - 1;
                    break;
                }
                _ => {
                    at += zeros;
                    let position = ZIGZAG.get(at).filter(|_| at <= last);
                    let position = position.ok_or_else(|| corrupt("too many coefficients"))?;
                    block[usize::from(*position)] = low(self.bits.signed(size)? << shift);
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Decodes another bit of a band of coefficients.
    fn refine(
        &mut self,
        block: &mut [i16; 64],
        table: &Table,
        (first, last): (usize, usize),
        bit: i16,
    ) -> Result<(), DecodeError> {
        let mut at = first;
        while self.empty == 0 && at <= last {
            let symbol = self.bits.symbol(table)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if zeros < 15 => {
                    self.empty = self.run(zeros)?;
                    break;
                }
                0 => 0,
                _ if self.bits.number(1)? == 1 => bit,
                _ => -bit,
            };
            while at <= last {
                let coefficient = &mut block[usize::from(ZIGZAG[at])];
                at += 1;
                if *coefficient != 0 {
                    self.correct(coefficient, bit)?;
                } else if zeros == 0 {
                    *coefficient = new;
                    break;
                } else {
                    zeros -= 1;
                }
            }
        }
        if self.empty > 0 {
            for position in &ZIGZAG[at..=last] {
                let coefficient = &mut block[usize::from(*position)];
                if *coefficient != 0 {
                    self.correct(coefficient, bit)?;
                }
            }
            self.empty -= 1;
        }
        Ok(())
    }

    /// Adds a bit to a coefficient, if the next bit says so and it has not this bit yet.
    fn correct(&mut self, coefficient: &mut i16, bit: i16) -> Result<(), DecodeError> {
        if self.bits.number(1)? == 1 && *coefficient & bit == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient < 0 { -bit } else { bit });
        }
        Ok(())
    }

    /// Reads how many blocks have no new data, including this one.
    fn run(&mut self, bits: u8) -> Result<u32, DecodeError> {
        let more = self.bits.number(u32::from(bits))?;
        Ok((1 << bits) + u32::try_from(more).unwrap_or(0))
    }
}

/// The lower half: coefficients are 16-bit integers.
#[expect(clippy::cast_possible_truncation, reason = "the upper half is to be cut off, as libjpeg does")]
fn low(value: i32) -> i16 {
    value as i16
}
