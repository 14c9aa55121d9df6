//! Pixel values compared with real OpenCV, Pillow and TensorFlow.

// Marked as tests so that helpers, too, may unwrap.
#[cfg(test)]
mod fit;
#[cfg(test)]
mod pixels;
