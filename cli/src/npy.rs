//! NumPy's `.npy` files: float32 arrays, read and written.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// The first bytes of every such file.
const MAGIC: &[u8] = b"\x93NUMPY";

/// Headers are this long at most; NumPy itself refuses more than 10,000 characters.
const MAX_HEADER: usize = 10_000;

/// A dense float32 array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Row-major; as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// Reads an array of float32, float64 or uint8; the values become float32.
///
/// # Errors
/// The file cannot be read, or says something else than these bytes hold.
pub fn read(path: &Path) -> io::Result<Array> {
    File::open(path)
        .and_then(|mut file| parse(&mut file))
        .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))
}

/// Writes an array.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, array: &Array) -> io::Result<()> {
    let sizes: String = array.shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    // Magic, version, length and header together fill whole blocks of 64 bytes, the last being a newline.
    let used = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(used.next_multiple_of(64) - used));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| io::Error::other("the array has too many axes"))?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for value in &array.values {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
}

fn parse(file: &mut impl Read) -> io::Result<Array> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if &start[..6] != MAGIC {
        return Err(invalid("this is no .npy file"));
    }
    let length = if start[6] == 1 {
        let mut bytes = [0; 2];
        file.read_exact(&mut bytes)?;
        usize::from(u16::from_le_bytes(bytes))
    } else {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes)?;
        u32::from_le_bytes(bytes) as usize
    };
    if length > MAX_HEADER {
        return Err(invalid("the header is too long"));
    }
    let mut header = vec![0; length];
    file.read_exact(&mut header)?;
    let header = String::from_utf8(header).map_err(|_| invalid("the header is no text"))?;
    if entry(&header, "fortran_order").is_none_or(|value| !value.starts_with("False")) {
        return Err(invalid(
            "the array is in column-major order, expected row-major: numpy.ascontiguousarray",
        ));
    }
    let shape = shape(&header).ok_or_else(|| invalid("the header has no shape"))?;
    let count = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let count = count.ok_or_else(|| invalid("the shape is too large"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let values = values(&header, &bytes)?;
    if values.len() != count {
        return Err(invalid(&format!(
            "there are {} values, expected {count} for shape {shape:?}",
            values.len()
        )));
    }
    Ok(Array { shape, values })
}

#[expect(clippy::cast_possible_truncation, reason = "models compute in float32")]
fn values(header: &str, bytes: &[u8]) -> io::Result<Vec<f32>> {
    let kind = entry(header, "descr").unwrap_or_default();
    let kind: String = kind.trim_start_matches(['\'', '"']).chars().take(3).collect();
    Ok(match kind.as_str() {
        "<f4" => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        "<f8" => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        "|u1" => bytes.iter().map(|b| f32::from(*b)).collect(),
        _ => return Err(invalid("the values are of another type, expected float32, float64 or uint8")),
    })
}

/// What follows a key in the header, which is a Python dictionary in its literal form.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = header.split_once(&format!("'{key}'"))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let inside = entry(header, "shape")?.strip_prefix('(')?.split_once(')')?.0;
    inside.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect()
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("array.npy");
        for shape in [vec![], vec![3], vec![2, 3], vec![1, 2, 3, 4], vec![0, 4]] {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let values = (0..shape.iter().product::<usize>()).map(|n| n as f32 - 0.5).collect();
            let array = Array { shape, values };
            write(&path, &array).unwrap();
            assert_eq!(read(&path).unwrap(), array);
        }
    }

    /// `numpy.save` of `numpy.array([[1, 2], [3, 4]], dtype)`, with the header's padding left out.
    fn saved(descr: &str, order: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2, 2), }}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn other_number_types_become_float32() {
        let doubles: Vec<u8> = [1.0_f64, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        for file in [saved("|u1", "False", &[1, 2, 3, 4]), saved("<f8", "False", &doubles)] {
            assert_eq!(parse(&mut file.as_slice()).unwrap().values, [1.0, 2.0, 3.0, 4.0]);
        }
    }

    #[test]
    fn files_that_are_not_such_arrays_are_refused_with_the_reason() {
        for (file, reason) in [
            (b"PK\x03\x04 something".to_vec(), "no .npy file"),
            (saved("|u1", "True", &[1, 2, 3, 4]), "row-major"),
            (saved("<i8", "False", &[0; 32]), "another type"),
            (saved("|u1", "False", &[1, 2, 3]), "3 values, expected 4"),
        ] {
            let error = parse(&mut file.as_slice()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
