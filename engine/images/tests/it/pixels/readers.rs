//! How each framework decodes or refuses each file: see `fixtures/pixels/make.py`.

use std::collections::BTreeMap;
use std::fs;

use common::messages::ImageError;
use images::decode::{DecodeLimits, DecodedImage, OrientationTag, Reader, Wanted, decode_as};
use serde::Deserialize;

use super::{npy, read};
use testing::repository;

#[derive(Deserialize)]
struct ReadCase {
    file: String,
    reader: String,
    /// `None` if the framework refuses the file.
    expected: Option<String>,
    /// Whether only the service refuses it.
    #[serde(default)]
    is_read_there: bool,
    levels: u8,
    mean: f64,
}

#[derive(Deserialize)]
struct Manifest {
    read: Vec<ReadCase>,
}

fn cases() -> Vec<ReadCase> {
    let manifest: Manifest = serde_json::from_slice(&read("manifest.json")).unwrap();
    manifest.read
}

fn read_by(reader: &str, bytes: &[u8]) -> Result<DecodedImage, ImageError> {
    let (reader, orientation_tag) = match reader {
        "opencv" => (Reader::OpenCv, OrientationTag::Apply),
        "opencv_as_stored" => (Reader::OpenCv, OrientationTag::Ignore),
        "pillow" => (Reader::Pillow, OrientationTag::Ignore),
        _ => (Reader::Tensorflow, OrientationTag::Ignore),
    };
    decode_as(bytes, &DecodeLimits::default(), &Wanted { reader, orientation_tag, ..Wanted::default() })
}

fn read_case(case: &ReadCase) -> Result<DecodedImage, ImageError> {
    let bytes = read(&case.file);
    if case.reader != "tensorflow_gray" {
        return read_by(&case.reader, &bytes);
    }
    let wanted = Wanted {
        reader: Reader::Tensorflow,
        orientation_tag: OrientationTag::Ignore,
        is_gray: true,
        ..Wanted::default()
    };
    let mut image = decode_as(&bytes, &DecodeLimits::default(), &wanted)?;
    // As preprocessing converts colours to grey; grey stays.
    for pixel in image.pixels.chunks_exact_mut(3) {
        let [blue, green, red] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
        pixel.fill(u8::try_from((9_797 * red + 19_234 * green + 3_737 * blue) >> 15).unwrap());
    }
    Ok(image)
}

/// The largest difference and the mean, `None` if it is refused, or an error.
fn differences(case: &ReadCase) -> Result<Option<(u8, f64)>, String> {
    let image = match (read_case(case), &case.expected) {
        // Some readers refuse a file for another reason than others: both are right, as long as the reason is given.
        (Err(_), None) => return Ok(None),
        (Ok(_), None) => return Err("is read, expected an error".to_owned()),
        (Err(error), Some(_)) => return Err(format!("is refused: {}", error.detail)),
        (Ok(image), Some(_)) => image,
    };
    let (shape, expected) = npy(case.expected.as_deref().unwrap(), "|u1");
    if shape != [image.height, image.width, 3] {
        return Err(format!("is {}x{}, expected {shape:?}", image.height, image.width));
    }
    let differences: Vec<u8> = image.pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let worst = differences.iter().copied().max().unwrap();
    let mean = differences.iter().map(|value| f64::from(*value)).sum::<f64>() / differences.len() as f64;
    if worst > case.levels || mean > case.mean {
        return Err(format!("is off by {worst} of 255 and {mean:.3} on average"));
    }
    Ok(Some((worst, mean)))
}

#[test]
fn every_file_is_read_as_each_framework_reads_it_or_refused_as_there() {
    let (mut faults, mut table) = (Vec::new(), Table::default());
    let cases = cases();
    assert!(cases.len() > 600, "{} cases", cases.len());
    for case in &cases {
        match differences(case) {
            Ok(found) => table.add(case, found),
            Err(fault) => faults.push(format!("{} {} {fault}", case.reader, case.file)),
        }
    }
    assert!(faults.is_empty(), "{} of {}: {faults:#?}", faults.len(), cases.len());
    let folder = repository().join(".cache/fixtures");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("formats.md"), table.lines().join("\n") + "\n").unwrap();
    let documented = fs::read_to_string(repository().join("docs/preprocessing.md")).unwrap();
    for line in table.lines() {
        assert!(documented.contains(&line), "docs/preprocessing.md has not the line measured now: {line}");
    }
}

#[test]
fn who_does_not_read_a_file_is_named() {
    for (file, reader, says) in [
        ("tiff_rgb_raw.tif", "tensorflow", "does not read TIFF: send it as PNG"),
        (
            "webp_lossy_alpha.webp",
            "tensorflow",
            "does not read WebP with alpha for a model of three channels",
        ),
        ("bmp_555.bmp", "tensorflow", "only plain ones of 8, 24 or 32"),
        ("tiff_gray_4.tif", "opencv", "does not read TIFF of 4 bits of grey"),
    ] {
        let error = read_by(reader, &read(&format!("files/{file}"))).unwrap_err();
        assert_eq!(error.code.as_str(), "undecodable_image", "{file}");
        assert!(error.detail.contains(", with which this model's images were read, "), "{}", error.detail);
        assert!(error.detail.ends_with(says), "{}", error.detail);
    }
}

/// One line per kind of file, with the worst of its files for each reader.
#[derive(Default)]
struct Table(BTreeMap<String, [Cell; 4]>);

#[derive(Default, Clone, Copy)]
struct Cell {
    read: usize,
    refused: usize,
    refused_here: usize,
    worst: u8,
    mean: f64,
}

impl Table {
    fn add(&mut self, case: &ReadCase, found: Option<(u8, f64)>) {
        let column = ["opencv", "pillow", "tensorflow", "tensorflow_gray"]
            .iter()
            .position(|reader| *reader == case.reader);
        let Some(column) = column else { return };
        let cell = &mut self.0.entry(kind(&case.file)).or_default()[column];
        match found {
            None if case.is_read_there => cell.refused_here += 1,
            None => cell.refused += 1,
            Some((worst, mean)) => {
                cell.read += 1;
                cell.worst = cell.worst.max(worst);
                cell.mean = cell.mean.max(mean);
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let cell = |cell: &Cell| {
            let equal = (cell.read > 0).then(|| format!("{}, {:.2}", cell.worst, cell.mean));
            let is_alone =
                cell.read + cell.refused + cell.refused_here == cell.refused.max(cell.refused_here);
            let refused = |count: usize, words: &str| {
                (count > 0).then(|| if is_alone { words.to_owned() } else { format!("{count} {words}") })
            };
            let told = [equal, refused(cell.refused, "refused"), refused(cell.refused_here, "refused here")];
            told.into_iter().flatten().collect::<Vec<_>>().join("; ")
        };
        let line = |(kind, cells): (&String, &[Cell; 4])| {
            let files = cells[0].read + cells[0].refused + cells[0].refused_here;
            let cells: Vec<String> = cells.iter().map(cell).collect();
            format!("| {kind} | {files} | {} |", cells.join(" | "))
        };
        let head = [
            "| | files | OpenCV | Pillow | TensorFlow | its grey |",
            "| --- | --- | --- | --- | --- | --- |",
        ];
        head.map(str::to_owned).into_iter().chain(self.0.iter().map(line)).collect()
    }
}

/// A file's row in the table: its format, and the depths and colours in its name.
fn kind(file: &str) -> String {
    let name = file.trim_start_matches("files/").split('.').next().unwrap();
    let words: Vec<&str> = name.split('_').collect();
    let (format, usual) = match words[0] {
        "jpeg" => ("JPEG", "YCbCr"),
        "png" => ("PNG", "rgb"),
        "bmp" => ("BMP", "24"),
        "gif" => ("GIF", "plain"),
        "webp" => ("WebP", "lossless"),
        _ => ("TIFF", "rgb"),
    };
    if words.contains(&"exif") || words.contains(&"orientation") {
        return format!("{format}, orientation 1 to 8");
    }
    let depths = ["1", "2", "4", "16", "24", "32", "555", "565"];
    let colors = [
        "bilevel",
        "gray",
        "palette",
        "rgb",
        "rgba",
        "cmyk",
        "ycck",
        "ycbcr",
        "alpha",
        "trns",
        "multiplied",
        "transparent",
        "part",
        "local",
        "planar",
        "lossless",
        "lossy",
        "animated",
        "rle8",
        "jpeg",
        "white",
        "arithmetic",
        "large",
        "masks",
        "os2",
        "rle4",
        "skips",
        "ends",
        "outside",
        "default",
        "srgb",
        "gama",
        "float",
        "signed",
        "lowest",
        "more",
        "zstd",
        "lzma",
        "group3",
        "bigtiff",
    ];
    // Numbers in the name of a JPEG are sides and sampling factors.
    let tells = |word: &&str| colors.contains(word) || (format != "JPEG" && depths.contains(word));
    let told: Vec<&str> = words[1..].iter().copied().filter(tells).collect();
    if told.is_empty() { format!("{format}, {usual}") } else { format!("{format}, {}", told.join(" ")) }
}
