//! The tag directories that TIFF files and EXIF blocks share (TIFF 6.0, section 2).

/// `SHORT`, the type of every tag that is read here.
const SHORT: u16 = 3;
/// Bytes of an entry: tag, type, count, value.
const ENTRY: usize = 12;

/// The first directory of a classic TIFF file or an EXIF block.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    order: Order,
    at: usize,
    entries: usize,
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl<'a> Directory<'a> {
    /// Returns `None` for bytes without such a directory.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let order = match bytes.get(..4)? {
            b"II*\0" => Order::Little,
            b"MM\0*" => Order::Big,
            _ => return None,
        };
        let (first, second) = (order.short(bytes, 4)?, order.short(bytes, 6)?);
        let (low, high) = match order {
            Order::Little => (first, second),
            Order::Big => (second, first),
        };
        let at = usize::from(high) << 16 | usize::from(low);
        let entries = usize::from(order.short(bytes, at)?);
        Some(Self { bytes, order, at: at + 2, entries })
    }

    /// Returns the first value of a tag of type `SHORT`.
    pub(super) fn short(&self, tag: u16) -> Option<u16> {
        self.order.short(self.bytes, self.position(tag)?)
    }

    /// Returns a copy of the file in which a tag of type `SHORT` has another value.
    pub(super) fn with_short(&self, tag: u16, value: u16) -> Option<Vec<u8>> {
        let at = self.position(tag)?;
        let mut copy = self.bytes.to_vec();
        let field = match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        };
        copy.get_mut(at..at + 2)?.copy_from_slice(&field);
        Some(copy)
    }

    /// The position of a tag's value.
    fn position(&self, tag: u16) -> Option<usize> {
        let short = |at| self.order.short(self.bytes, at);
        (0..self.entries)
            .map(|entry| self.at + ENTRY * entry)
            .take_while(|at| *at < self.bytes.len())
            .find(|at| short(*at) == Some(tag) && short(at + 2) == Some(SHORT))
            .map(|at| at + 8)
    }
}

impl Order {
    fn short(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = [*bytes.get(at)?, *bytes.get(at + 1)?];
        Some(match self {
            Self::Little => u16::from_le_bytes(field),
            Self::Big => u16::from_be_bytes(field),
        })
    }
}
