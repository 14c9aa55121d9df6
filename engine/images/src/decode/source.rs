//! The reader through which decoders read a file: it counts what they read, and stops them.

use std::cell::Cell;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use super::DecodeError;

/// Most bytes of one read, so that a decoder with a high compression ratio calls `goes_on` often enough.
const PIECE: usize = 16 << 10;
/// Bytes that may be read of any file.
const SPARE: u64 = 64 << 10;
/// Beyond that a file may be read about twice.
const AGAIN: u64 = 8 << 20;
/// Identical parts of an image may share their bytes: single-colour images have far fewer bytes than pixels.
const PIXELS_A_BYTE: u64 = 16;
/// Most pixels in all scans of an image: a hundred scans of 16 megapixels. Files have about ten scans.
const MAX_SCANNED: u64 = 1_600_000_000;

/// Limits the work for one file.
pub(super) struct Meter<'a> {
    goes_on: &'a dyn Fn() -> bool,
    bytes: Cell<u64>,
    limit: Cell<u64>,
    scanned: Cell<u64>,
    /// Why the decoder was stopped. Its own error only says that it could not read on.
    stopped: Cell<Option<Stop>>,
}

#[derive(Clone, Copy)]
enum Stop {
    ReadTooMuch,
    Given,
}

impl<'a> Meter<'a> {
    /// Creates it for a file of so many bytes.
    pub(super) fn new(bytes: usize, goes_on: &'a dyn Fn() -> bool) -> Self {
        let limit = SPARE + bytes as u64 + AGAIN.min(bytes as u64);
        let (bytes, limit) = (Cell::new(limit), Cell::new(limit));
        Self { goes_on, bytes, limit, scanned: Cell::new(MAX_SCANNED), stopped: Cell::new(None) }
    }

    /// Raises the limit of bytes, once the image's size is known.
    pub(super) fn allow_pixels(&self, width: usize, height: usize) {
        let more = (width as u64).saturating_mul(height as u64) / PIXELS_A_BYTE;
        self.bytes.set(self.bytes.get().saturating_add(more));
        self.limit.set(self.limit.get().saturating_add(more));
    }

    /// Counts bytes that are read, or other work of the same cost.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), DecodeError> {
        match self.bytes.get().checked_sub(bytes) {
            Some(left) => self.bytes.set(left),
            None => self.stopped.set(Some(Stop::ReadTooMuch)),
        }
        self.outcome()
    }

    /// Counts pixels of scans.
    pub(super) fn scan(&self, pixels: u64, scans: u64) -> Result<(), DecodeError> {
        let left = self.scanned.get().checked_sub(pixels.saturating_mul(scans));
        let left = left.ok_or_else(|| {
            DecodeError::TooLarge(format!(
                "the image's scans go over more pixels than the limit, {MAX_SCANNED} in all"
            ))
        })?;
        self.scanned.set(left);
        Ok(())
    }

    /// Fails if the image is not wanted any more.
    pub(super) fn goes_on(&self) -> Result<(), DecodeError> {
        if !(self.goes_on)() {
            self.stopped.set(Some(Stop::Given));
        }
        self.outcome()
    }

    /// Returns why the decoder was stopped, if it was.
    pub(super) fn outcome(&self) -> Result<(), DecodeError> {
        match self.stopped.get() {
            None => Ok(()),
            Some(Stop::Given) => Err(DecodeError::Stopped),
            Some(Stop::ReadTooMuch) => {
                let limit = self.limit.get();
                Err(DecodeError::TooLarge(format!(
                    "the image's parts have more bytes than the limit for a file of its size, {limit} in all"
                )))
            }
        }
    }

    fn read(&self, bytes: usize) -> io::Result<()> {
        let read = self.spend(bytes as u64).and_then(|()| self.goes_on());
        read.map_err(|_| io::Error::other("the decoder was stopped"))
    }
}

/// The file.
pub(super) struct Source<'a> {
    cursor: Cursor<&'a [u8]>,
    meter: &'a Meter<'a>,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], meter: &'a Meter<'a>) -> Self {
        Self { cursor: Cursor::new(bytes), meter }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(PIECE);
        let read = self.cursor.read(&mut out[..most])?;
        self.meter.read(read)?;
        Ok(read)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.meter.read(0)?;
        let left = self.cursor.fill_buf()?;
        Ok(&left[..left.len().min(PIECE)])
    }

    fn consume(&mut self, bytes: usize) {
        self.cursor.consume(bytes);
        // An exceeded limit stops the next call.
        let _ = self.meter.spend(bytes as u64);
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.cursor.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_counts_again() {
        let (bytes, goes_on) = ([7; 100_000], || true);
        let meter = Meter::new(bytes.len(), &goes_on);
        let mut source = Source::new(&bytes, &meter);
        for time in 0..4 {
            source.seek(SeekFrom::Start(0)).unwrap();
            assert_eq!(io::copy(&mut source, &mut io::sink()).is_ok(), time < 2, "{time}");
        }
        let Err(DecodeError::TooLarge(fact)) = meter.outcome() else { panic!("no limit was passed") };
        assert!(fact.ends_with("265536 in all"), "{fact}");
    }

    #[test]
    fn a_decoder_that_is_not_wanted_any_more_reads_nothing() {
        let goes_on = || false;
        let meter = Meter::new(1, &goes_on);
        assert!(Source::new(b"x", &meter).read(&mut [0]).is_err());
        assert!(matches!(meter.outcome(), Err(DecodeError::Stopped)));
    }
}
