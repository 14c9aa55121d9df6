//! The cost of one file: CPU time of the thread that decodes it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use common::messages::ImageError;
use images::decode::{DecodeLimits, DecodedImage, Reader, STOPPED, Wanted, decode_as};

use super::read;

/// At least two seconds, more per megabyte, and at most five, for an optimised build, which tests are not. The decoding
/// libraries are optimised, so twice the time is enough.
fn limit(bytes: usize) -> Duration {
    Duration::from_secs_f64((2.0 * bytes as f64 / 1e6).clamp(2.0, 5.0) * 2.0)
}

/// Of this thread, so that nothing else counts.
pub(super) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library has no clock of a thread's processor time")]
    // SAFETY: the call writes one `timespec`, which it is given.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(told, 0);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn timed(what: &str, bytes: &[u8], reader: Reader) -> Result<DecodedImage, ImageError> {
    let started = processor_time();
    let outcome = decode_as(bytes, &DecodeLimits::default(), &Wanted { reader, ..Wanted::default() });
    let took = processor_time() - started;
    assert!(took < limit(bytes.len()), "{what}: {} bytes took {took:?} as {reader:?} reads it", bytes.len());
    outcome
}

fn entry(tag: u16, kind: u16, values: &[u32], extra_at: usize) -> (Vec<u8>, Vec<u8>) {
    let packed: Vec<u8> = match kind {
        3 => values.iter().flat_map(|value| u16::try_from(*value).unwrap().to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let mut head = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
    head.extend(u32::try_from(values.len()).unwrap().to_le_bytes());
    if packed.len() <= 4 {
        head.extend(&packed);
        head.resize(12, 0);
        return (head, Vec::new());
    }
    head.extend(u32::try_from(extra_at).unwrap().to_le_bytes());
    (head, packed)
}

/// A grey TIFF whose parts all share the same bytes.
fn tiff(
    compression: u32,
    (width, height): (u32, u32),
    data: &[u8],
    layout: &[(u16, u32)],
    parts: usize,
) -> Vec<u8> {
    let is_tiled = layout.iter().any(|(tag, _)| *tag == 322);
    let mut tags = vec![
        (256, 4, vec![width]),
        (257, 4, vec![height]),
        (258, 3, vec![8]),
        (259, 3, vec![compression]),
        (262, 3, vec![1]),
        (277, 3, vec![1]),
    ];
    tags.extend(layout.iter().map(|(tag, value)| (*tag, 4, vec![*value])));
    let size = u32::try_from(data.len()).unwrap();
    tags.push((if is_tiled { 324 } else { 273 }, 4, vec![8; parts]));
    tags.push((if is_tiled { 325 } else { 279 }, 4, vec![size; parts]));
    tags.sort_unstable_by_key(|(tag, ..)| *tag);
    let directory_at = 8 + data.len();
    let mut extra_at = directory_at + 2 + 12 * tags.len() + 4;
    let (mut entries, mut extra) = (Vec::new(), Vec::new());
    for (tag, kind, values) in tags {
        let (head, packed) = entry(tag, kind, &values, extra_at);
        extra_at += packed.len();
        entries.extend(head);
        extra.extend(packed);
    }
    let count = u16::try_from(entries.len() / 12).unwrap().to_le_bytes();
    let start = u32::try_from(directory_at).unwrap().to_le_bytes();
    [b"II*\0", &start[..], data, &count, &entries, &[0; 4], &extra].concat()
}

#[test]
fn strips_that_are_all_the_same_bytes_cost_no_more_than_their_file() {
    let strips = 32_768;
    // Nothing, repeatedly, and then a pixel: a PackBits header without data; LZW's clear code of nine bits; empty
    // deflate blocks; a comment in a JPEG.
    let lzw = {
        let mut bits: Vec<u8> = [1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(100_000);
        bits.extend([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
    };
    let deflate =
        [&b"\x78\x01"[..], &[0, 0, 0, 0xff, 0xff].repeat(20_000), b"\x01\x01\0\xfe\xff\x07\0\x08\0\x08"]
            .concat();
    let mut jpeg = read("files/jpeg_gray.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0, 1, 0, 1]);
    for (what, compression, data) in [
        ("PackBits", 32_773, [&[0x80].repeat(100_000)[..], &[0, 0]].concat()),
        ("LZW", 5, lzw),
        ("deflate", 8, deflate),
        ("JPEG", 7, [&jpeg[..2], &b"\xff\xfe\xff\xff"[..], &[0; 65_533], &jpeg[2..]].concat()),
    ] {
        let file = tiff(compression, (1, strips), &data, &[(278, 1)], strips as usize);
        let error = timed(what, &file, Reader::OpenCv).unwrap_err();
        assert_eq!(error.code.as_str(), "image_too_large", "{what}: {}", error.detail);
        assert!(error.detail.contains("than the limit for a file of its size"), "{what}: {}", error.detail);
    }
}

#[test]
fn parts_may_share_bytes_where_they_look_alike() {
    // 300 bytes of the same grey, in each of 200 strips.
    let file = tiff(1, (300, 200), &[9; 300], &[(278, 1)], 200);
    let image = timed("shared", &file, Reader::OpenCv).unwrap();
    assert_eq!((image.height, image.width), (200, 300));
    assert!(image.pixels.iter().all(|value| *value == 9));
}

#[test]
fn parts_that_are_far_larger_than_the_image_are_refused() {
    let tiles: u32 = 2_000;
    let data = [0x81, 0].repeat(64);
    let file = tiff(32_773, (16, 16 * tiles), &data, &[(322, 32_000), (323, 16)], tiles as usize);
    let error = timed("tiles", &file, Reader::Pillow).unwrap_err();
    assert_eq!(error.code.as_str(), "image_too_large", "{}", error.detail);
}

#[test]
fn a_million_tiles_of_a_pixel_cost_no_more_than_their_file() {
    let tiles: u32 = 1 << 20;
    let data = b"\x78\x01\x63\x00\x00\x00\x01\x00\x01";
    let file = tiff(8, (1024, 1024), data, &[(322, 1), (323, 1)], tiles as usize);
    assert!(timed("tiles", &file, Reader::OpenCv).is_err());
}

/// In the run lengths, `end` and what follows it declare the rest of the image.
#[test]
fn a_bmp_of_sixty_bytes_has_no_64_megapixels() {
    let mut file = read("files/bmp_rle8.bmp");
    file[18..26].copy_from_slice(&[8_000_u32.to_le_bytes(), 8_000_u32.to_le_bytes()].concat());
    let data_at = usize::try_from(u32::from_le_bytes(file[10..14].try_into().unwrap())).unwrap();
    file.truncate(data_at);
    file.extend([0, 1]);
    for reader in [Reader::OpenCv, Reader::Pillow, Reader::Tensorflow] {
        let started = processor_time();
        let error = timed("BMP", &file, reader).unwrap_err();
        assert_eq!(error.code.as_str(), "undecodable_image");
        assert!(error.detail.contains("claim to be 8000x8000 pixels"), "{}", error.detail);
        assert!(processor_time() - started < Duration::from_millis(20));
    }
}

/// Each scan says in a few bytes that nothing of 64 megapixels changes.
#[test]
fn scans_that_change_nothing_are_counted() {
    let sound = read("files/jpeg_gray_progressive.jpg");
    let frame = sound.windows(2).position(|pair| pair == b"\xff\xc2").unwrap();
    let mut file = sound[..sound.windows(2).position(|pair| pair == b"\xff\xda").unwrap()].to_vec();
    file[frame + 5..frame + 9].copy_from_slice(&[8_000_u16.to_be_bytes(), 8_000_u16.to_be_bytes()].concat());
    // One code, for a run of 32,767 blocks, of which there are a million.
    file.extend(b"\xff\xc4\x00\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xe0");
    for scan in 0..1_000_u32 {
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1 + u8::try_from(scan % 63).unwrap(), 63, 0]);
        file.extend([0; 117]);
    }
    file.extend(b"\xff\xd9");
    for reader in [Reader::OpenCv, Reader::Tensorflow] {
        let error = timed("scans", &file, reader).unwrap_err();
        assert_eq!(error.code.as_str(), "image_too_large", "{}", error.detail);
    }
}

#[test]
fn an_image_that_nobody_wants_any_more_is_left_at_the_next_piece() {
    for (file, reader) in [
        ("png_rgb.png", Reader::OpenCv),
        ("tiff_strips.tif", Reader::OpenCv),
        ("gif_plain.gif", Reader::Pillow),
        ("bmp_24.bmp", Reader::OpenCv),
        ("webp_lossless.webp", Reader::OpenCv),
        ("jpeg_420.jpg", Reader::OpenCv),
        ("jpeg_420.jpg", Reader::Tensorflow),
        ("jpeg_420_progressive.jpg", Reader::Tensorflow),
    ] {
        let bytes = read(&format!("files/{file}"));
        let asked = Cell::new(0);
        let last = Cell::new(u32::MAX);
        let goes_on = || {
            asked.set(asked.get() + 1);
            asked.get() <= last.get()
        };
        let wanted = Wanted { reader, goes_on: &goes_on, ..Wanted::default() };
        decode_as(&bytes, &DecodeLimits::default(), &wanted).unwrap();
        assert!(asked.get() > 0, "{file} never asks");
        last.set(asked.replace(0) - 1);
        let started = Instant::now();
        let error = decode_as(&bytes, &DecodeLimits::default(), &wanted).unwrap_err();
        assert_eq!(error.detail, STOPPED, "{file}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
