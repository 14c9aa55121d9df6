//! Whose images are decoded first.

use bytes::Bytes;
use common::store::Store as _;
use image::{GrayImage, ImageFormat};

use super::bench::{Bench, named, parts};
use super::engine::Double;

/// A single-colour image in a few kilobytes.
fn large() -> Bytes {
    let mut file = std::io::Cursor::new(Vec::new());
    GrayImage::new(4_000, 4_000).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner().into()
}

#[tokio::test]
async fn a_small_image_waits_for_one_large_image_of_another_request_and_not_for_all() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &["--decode-threads=1"]);
    let image = large();
    let costly = bench.submit(&vec![vec![image]; 4]).await;
    // Once it has begun.
    while bench.store.job(costly).await.unwrap().unwrap().status == common::messages::JobStatus::Queued {
        tokio::task::yield_now().await;
    }
    let small = bench.submit(&parts(&[&[3]])).await;
    assert_eq!(bench.labels(small).await, named([3]));
    let other = bench.store.job(costly).await.unwrap().unwrap();
    assert!(!other.is_finished(), "the small image came after all large ones");
    assert_eq!(bench.labels(costly).await, ["wrong_image_size"; 4]);
    worker.stop().await.unwrap();
    bench.assert_nothing_waits().await;
}

/// Its frame declares more pixels than its first header: what was not counted is not decoded.
#[tokio::test]
async fn no_image_is_larger_than_its_header_said() {
    let bench = Bench::new().await;
    let (engine, _ears) = Double::new();
    let worker = bench.worker(&engine, &[]);
    // A TIFF of 2,000 by 2,000 with more directory entries than are read before the size.
    let entry = |tag: u16, kind: u16, value: u32| {
        let mut entry = [tag.to_le_bytes(), kind.to_le_bytes()].concat();
        entry.extend([1_u32.to_le_bytes(), value.to_le_bytes()].concat());
        entry
    };
    let mut entries: Vec<Vec<u8>> = (0..4_096_u16).map(|_| entry(1, 4, 0)).collect();
    entries.extend(
        [(256, 2_000), (257, 2_000), (258, 8), (262, 1), (273, 8), (277, 1), (278, 2_000)]
            .map(|(tag, value)| entry(tag, 4, value)),
    );
    entries.push(entry(279, 4, 4_000_000));
    let data = vec![0; 4_000_000];
    let start = u32::try_from(8 + data.len()).unwrap().to_le_bytes();
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let file = [b"II*\0", &start[..], &data, &count, &entries.concat(), &[0; 4]].concat();
    let job = bench.submit(&[vec![Bytes::from(file)]]).await;
    assert_eq!(bench.labels(job).await, ["image_too_large"]);
    worker.stop().await.unwrap();
}
