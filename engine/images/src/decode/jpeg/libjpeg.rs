//! Decodes JPEG exactly as libjpeg-turbo. With its fast transform this equals TensorFlow's default.

use super::super::{DecodeError, DecodedImage, File, Reader, channels};
use super::{Colors, Segment};

mod frame;
mod huffman;
mod scan;
mod transform;
mod upsample;

use self::frame::{Frame, Tables, corrupt};
use self::scan::Scan;
pub(super) use self::transform::Accuracy;
use self::upsample::{Plane, Upsampling};

/// Returns the image as stored; grey is the file's luma, not computed from colours.
pub(super) fn pixels(coded: &[u8], file: File<'_>, accuracy: Accuracy) -> Result<DecodedImage, DecodeError> {
    let goes_on = || file.meter.goes_on();
    // Others compute grey from the colours.
    let is_gray = file.wanted.is_gray && file.wanted.reader == Reader::Tensorflow;
    let (mut tables, mut frame, mut colors) = (Tables::default(), None, Colors::default());
    let mut fault = Ok(());
    super::walk(coded, |Segment { marker, body, behind }| {
        let mut take = || match marker {
            0xdb => tables.quantize(body),
            0xc4 => tables.code(body),
            0xdd => {
                let interval = body.first_chunk::<2>().ok_or_else(|| corrupt("the restart interval"))?;
                tables.restart_interval = usize::from(u16::from_be_bytes(*interval));
                Ok(())
            }
            0xe0 | 0xee => {
                colors.tell(marker, body);
                Ok(())
            }
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if frame.is_some() => {
                Err(corrupt("a second frame header"))
            }
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                frame = Some(Frame::new(marker, body)?);
                Ok(())
            }
            0xda => {
                let frame = frame.as_mut().ok_or_else(|| corrupt("a scan before the frame header"))?;
                Scan::new(body, frame)?.read(behind, frame, &tables, &goes_on)
            }
            _ => Ok(()),
        };
        if fault.is_ok() {
            fault = take();
        }
    });
    fault?;
    let mut frame = frame.ok_or_else(|| DecodeError::undecodable("it has no frame header"))?;
    if frame.components.iter().any(|component| component.missing[..10].iter().any(|bits| *bits != Some(0))) {
        // libjpeg would smooth missing data.
        return Err(DecodeError::undecodable("unsupported variant (scans are missing)"));
    }
    let coding = colors.coding(&frame)?;
    if is_gray && matches!(coding, Coding::Cmyk | Coding::Ycck) {
        return Err(Reader::Tensorflow.refuses("CMYK as grey"));
    }
    if is_gray && matches!(coding, Coding::YCbCr) {
        frame.components.truncate(1);
    }
    let planes = planes(&mut frame, accuracy, &goes_on)?;
    let inks = match file.wanted.reader {
        Reader::Tensorflow => Inks::Tensorflow { is_inverted: colors.adobe.is_some() },
        reader @ (Reader::OpenCv | Reader::Pillow) => Inks::Of(reader),
    };
    let pixels = colored(&frame, &planes, (coding, inks, is_gray))?;
    Ok(DecodedImage { height: frame.height, width: frame.width, pixels })
}

/// Transforms the coefficients, and frees their memory.
fn planes(
    frame: &mut Frame,
    accuracy: Accuracy,
    goes_on: &dyn Fn() -> Result<(), DecodeError>,
) -> Result<Vec<Plane>, DecodeError> {
    let mut planes = Vec::new();
    for component in &mut frame.components {
        let quantization =
            component.quantization.ok_or_else(|| corrupt("a quantization table is missing"))?;
        let factors = transform::factors(accuracy, &quantization);
        let blocks = std::mem::take(&mut component.coefficients);
        let stride = component.stride * 8;
        let mut samples = vec![0; blocks.len() * 64];
        for (row, blocks) in samples.chunks_mut(stride * 8).zip(blocks.chunks(component.stride)) {
            goes_on()?;
            for (column, block) in blocks.iter().enumerate() {
                transform::block(block, &factors, &mut row[column * 8..], stride);
            }
        }
        planes.push(Plane { samples, stride, height: component.height, width: component.width });
    }
    Ok(planes)
}

/// How components form a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Colors {
    /// As libjpeg's `default_decompress_parms` decides it.
    fn coding(&self, frame: &Frame) -> Result<Coding, DecodeError> {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        Ok(match (&ids[..], self.adobe) {
            ([_], _) => Coding::Gray,
            ([_, _, _], _) if self.is_jfif => Coding::YCbCr,
            ([_, _, _], Some(0)) | (b"RGB", None) => Coding::Rgb,
            ([_, _, _], _) => Coding::YCbCr,
            ([_, _, _, _], None | Some(0)) => Coding::Cmyk,
            ([_, _, _, _], Some(_)) => Coding::Ycck,
            _ => return Err(corrupt("the components")),
        })
    }
}

/// Whose conversion from CMYK is used.
#[derive(Clone, Copy)]
enum Inks {
    /// Adobe's programs store inverted values.
    Tensorflow { is_inverted: bool },
    /// Always inverted, as if Adobe's programs had written it.
    Of(Reader),
}

/// Blue, green, red of each pixel.
fn colored(
    frame: &Frame,
    planes: &[Plane],
    (coding, inks, is_gray): (Coding, Inks, bool),
) -> Result<Vec<u8>, DecodeError> {
    let ways = frame.components.iter().map(|component| {
        let (rows, columns) = ((frame.most_rows, component.rows), (frame.most_columns, component.columns));
        Upsampling::of(rows, columns, component.width)
    });
    let ways = ways.collect::<Result<Vec<_>, _>>()?;
    let mut rows = vec![vec![0; frame.width]; planes.len()];
    let mut sums = Vec::new();
    let mut pixels = vec![0; frame.height * frame.width * 3];
    for (y, out) in pixels.chunks_exact_mut(frame.width * 3).enumerate() {
        for ((way, plane), row) in ways.iter().zip(planes).zip(&mut rows) {
            way.row(plane, y, &mut sums, row);
        }
        let out = out.chunks_exact_mut(3);
        match (&rows[..], coding) {
            ([luma], _) => out.zip(luma).for_each(|(pixel, value)| pixel.fill(*value)),
            ([first, second, third], _) => {
                for (((pixel, a), b), c) in out.zip(first).zip(second).zip(third) {
                    let [red, green, blue] = match coding {
                        Coding::YCbCr => channels::rgb_of_ycbcr([*a, *b, *c]),
                        Coding::Gray | Coding::Rgb | Coding::Cmyk | Coding::Ycck => [*a, *b, *c],
                    };
                    pixel.copy_from_slice(&[blue, green, red]);
                    if is_gray {
                        pixel.fill(gray([red, green, blue]));
                    }
                }
            }
            ([first, second, third, black], _) => {
                for ((((pixel, a), b), c), k) in out.zip(first).zip(second).zip(third).zip(black) {
                    let [a, b, c] = match coding {
                        Coding::Ycck => channels::rgb_of_ycbcr([*a, *b, *c]).map(|value| 255 - value),
                        Coding::Gray | Coding::Rgb | Coding::Cmyk | Coding::YCbCr => [*a, *b, *c],
                    };
                    inks.color([a, b, c, *k], pixel);
                }
            }
            _ => return Err(corrupt("the components")),
        }
    }
    Ok(pixels)
}

impl Inks {
    /// Blue, green, red.
    fn color(self, stored: [u8; 4], pixel: &mut [u8]) {
        let is_inverted = match self {
            Self::Of(reader) => return super::from_cmyk_into(&stored, reader, pixel),
            Self::Tensorflow { is_inverted } => is_inverted,
        };
        let [red, green, blue, white] =
            stored.map(|value| u32::from(if is_inverted { value } else { 255 - value }));
        for (value, left) in pixel.iter_mut().zip([blue, green, red]) {
            *value = u8::try_from(left * white / 255).unwrap_or(u8::MAX);
        }
    }
}

/// libjpeg's `rgb_gray_convert`: 16 fractional bits, rounded.
fn gray([red, green, blue]: [u8; 3]) -> u8 {
    let weighted = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    u8::try_from((weighted + (1 << 15)) >> 16).unwrap_or(u8::MAX)
}
