//! Reads and writes NumPy's file format for one array of images or scores.
//!
//! The format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. Writes version 1.0 with
//! little-endian float32; reads versions 1 to 3 with float32, float64 and uint8, little-endian, in C order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is read, in bytes. NumPy's own are under 200.
const MAX_HEADER: u64 = 64 << 10;

/// Largest array that is read, in elements: four GiB of float32.
const MAX_ELEMENTS: usize = 1 << 30;

/// The data begins at a multiple of this.
const ALIGNMENT: usize = 64;

/// An array, converted to float32.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    /// An I/O error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file is not in a supported format.
    #[error("{0}")]
    Format(String),
}

/// Reads a file.
///
/// # Errors
/// [`NpyError`]; without the file's name.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    read_from(io::BufReader::new(File::open(path)?))
}

/// Writes an array of float32.
///
/// # Errors
/// The file cannot be written, or the number of `values` does not match `shape`.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), NpyError> {
    let mut file = io::BufWriter::new(File::create(path)?);
    write_to(&mut file, shape, values)?;
    file.flush()?;
    Ok(())
}

/// Reads an array from a reader; what follows it is not read.
///
/// # Errors
/// [`NpyError`].
pub fn read_from(mut source: impl Read) -> Result<Array, NpyError> {
    let header = header(&mut source)?;
    let elements = header.shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    let elements = elements.filter(|elements| *elements <= MAX_ELEMENTS).ok_or_else(|| {
        format_error(format!(
            "it holds an array of shape {:?}, expected at most {MAX_ELEMENTS} elements",
            header.shape
        ))
    })?;
    let bytes = elements * header.element.size();
    // Grows with the data: a short file with a large header takes no memory.
    let mut data = Vec::new();
    source.by_ref().take(bytes as u64).read_to_end(&mut data)?;
    if data.len() != bytes {
        return Err(format_error(format!(
            "it ends after {} bytes of data, expected {bytes} for shape {:?}",
            data.len(),
            header.shape
        )));
    }
    Ok(Array { shape: header.shape, values: header.element.values(&data) })
}

/// Writes an array of float32 to a writer.
///
/// # Errors
/// As [`write()`].
pub fn write_to(mut target: impl Write, shape: &[usize], values: &[f32]) -> Result<(), NpyError> {
    if shape.iter().product::<usize>() != values.len() {
        return Err(format_error(format!("an array of shape {shape:?} cannot have {} values", values.len())));
    }
    let sizes = match shape {
        [only] => format!("{only},"),
        sizes => sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| {
        format_error(format!("an array with {} axes is too much for the header", shape.len()))
    })?;
    target.write_all(MAGIC)?;
    target.write_all(&[1, 0])?;
    target.write_all(&length.to_le_bytes())?;
    target.write_all(header.as_bytes())?;
    for value in values {
        target.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

struct Header {
    element: Element,
    shape: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Element {
    Float32,
    Float64,
    Uint8,
}

impl Element {
    fn parse(descr: &str) -> Result<Self, NpyError> {
        match descr {
            "<f4" => Ok(Self::Float32),
            "<f8" => Ok(Self::Float64),
            "|u1" => Ok(Self::Uint8),
            _ => Err(format_error(format!(
                "its elements are `{descr}`, expected `<f4`, `<f8` or `|u1` (float32, float64 or uint8)"
            ))),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Uint8 => 1,
        }
    }

    fn values(self, data: &[u8]) -> Vec<f32> {
        match self {
            Self::Float32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            #[expect(clippy::cast_possible_truncation, reason = "models compute in float32")]
            Self::Float64 => {
                data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
            }
            Self::Uint8 => data.iter().map(|byte| f32::from(*byte)).collect(),
        }
    }
}

fn header(source: &mut impl Read) -> Result<Header, NpyError> {
    let mut start = [0; 8];
    source.read_exact(&mut start).map_err(|_| format_error("it is too short for a .npy file"))?;
    if &start[..6] != MAGIC {
        return Err(format_error("it is not a .npy file: it does not begin with \\x93NUMPY"));
    }
    let truncated = || format_error("it ends within its header");
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            source.read_exact(&mut length).map_err(|_| truncated())?;
            u64::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            source.read_exact(&mut length).map_err(|_| truncated())?;
            u64::from(u32::from_le_bytes(length))
        }
        version => return Err(format_error(format!("its format version is {version}, expected 1, 2 or 3"))),
    };
    if length > MAX_HEADER {
        return Err(format_error(format!("its header has {length} bytes, expected at most {MAX_HEADER}")));
    }
    let mut text = Vec::new();
    source.take(length).read_to_end(&mut text)?;
    if text.len() as u64 != length {
        return Err(truncated());
    }
    let text = String::from_utf8(text).map_err(|_| format_error("its header is not text"))?;
    parse_header(&text)
}

/// Parses a Python dictionary with exactly the keys `descr`, `fortran_order` and `shape`.
fn parse_header(text: &str) -> Result<Header, NpyError> {
    let unclear = || {
        let shown: String = text.trim().chars().take(120).collect();
        format_error(format!("its header `{shown}` is not understood"))
    };
    let mut rest =
        text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(unclear)?.trim();
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest).ok_or_else(unclear)?;
        let value = after.trim_start().strip_prefix(':').ok_or_else(unclear)?.trim_start();
        rest = match key {
            "descr" => {
                let (text, after) = quoted(value).ok_or_else(unclear)?;
                descr = Some(text);
                after
            }
            "fortran_order" => {
                let (flag, after) = ["False", "True"]
                    .into_iter()
                    .find_map(|word| Some((word == "True", value.strip_prefix(word)?)))
                    .ok_or_else(unclear)?;
                fortran = Some(flag);
                after
            }
            "shape" => {
                let (sizes, after) =
                    value.strip_prefix('(').and_then(|t| t.split_once(')')).ok_or_else(unclear)?;
                shape = Some(sizes_of(sizes).ok_or_else(unclear)?);
                after
            }
            _ => return Err(unclear()),
        };
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    match (descr, fortran, shape) {
        (Some(_), Some(true), Some(_)) => {
            Err(format_error("its array is in Fortran order, expected C order (numpy.ascontiguousarray)"))
        }
        (Some(descr), Some(false), Some(shape)) => Ok(Header { element: Element::parse(descr)?, shape }),
        _ => Err(unclear()),
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn sizes_of(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let text = text.strip_suffix(',').unwrap_or(text);
    // Python 2 wrote long integers as `3L`.
    text.split(',').map(|size| size.trim().trim_end_matches('L').parse().ok()).collect()
}

fn format_error(text: impl Into<String>) -> NpyError {
    NpyError::Format(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        let length = header.len() as u32;
        bytes.extend(&length.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn error(bytes: &[u8]) -> String {
        read_from(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_what_numpy_writes() {
        let mut bytes = Vec::new();
        write_to(&mut bytes, &[2, 1], &[1.5, -2.0]).unwrap();
        // numpy.save of numpy.array([[1.5], [-2]], 'f4')
        let mut expected =
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }".to_vec();
        expected.resize(127, b' ');
        expected.extend(b"\n\x00\x00\xc0\x3f\x00\x00\x00\xc0");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_accepted_type_and_version_is_read() {
        let header =
            |descr: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}\n");
        let floats = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0];
        for version in 1..=3 {
            let array = read_from(&file(version, &header("<f4"), &floats)[..]).unwrap();
            assert_eq!(array, Array { shape: vec![2], values: vec![1.0, -2.0] });
        }
        let doubles: Vec<u8> = [0.5_f64, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(read_from(&file(1, &header("<f8"), &doubles)[..]).unwrap().values, [0.5, 3.0]);
        assert_eq!(read_from(&file(1, &header("|u1"), &[7, 255])[..]).unwrap().values, [7.0, 255.0]);
        let scalar = "{'descr': '|u1', 'fortran_order': False, 'shape': (), }";
        assert_eq!(read_from(&file(1, scalar, &[9])[..]).unwrap().shape, [0_usize; 0]);
    }

    #[test]
    fn hostile_files_give_errors() {
        let with = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        assert!(error(b"\x93NUM").contains("too short"));
        assert!(error(b"PK\x03\x04 and more").contains("not a .npy file"));
        assert!(error(&file(4, "", b"")).contains("version is 4"));
        assert!(error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("at most"));
        assert!(error(&file(1, &with("(2, 3)"), &[0; 20])).contains("ends after 20 bytes"));
        assert!(error(&file(1, &with("(4294967296, 4294967296, 2)"), b"")).contains("at most"));
        assert!(error(&file(1, &with("(1073741824,)"), b"")).contains("ends after 0 bytes"));
        assert!(error(&file(1, &with("(-1,)"), b"")).contains("not understood"));
        assert!(error(&file(1, "{'descr': '<f4'}", b"")).contains("not understood"));
        assert!(error(&file(1, &"{".repeat(5000), b"")).contains("not understood"));
        let fortran = with("(1,)").replace("False", "True");
        assert!(error(&file(1, &fortran, b"")).contains("Fortran"));
        let strings = with("(1,)").replace("<f4", "<U3");
        assert!(error(&file(1, &strings, b"")).contains("`<U3`"));
    }

    #[test]
    fn an_array_survives_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        write(&path, &[1, 2, 2], &[1.0, 2.0, 3.0, f32::MIN_POSITIVE]).unwrap();
        let array = read(&path).unwrap();
        assert_eq!(array, Array { shape: vec![1, 2, 2], values: vec![1.0, 2.0, 3.0, f32::MIN_POSITIVE] });
    }
}
