//! What works on images.

use model::{
    Convolution, ConvolutionTranspose, Fault, Interpolation, PadMode, Padding, PoolKind, Resize, Size, Value,
    Window,
};

use super::Drawing;

const INTERPOLATIONS: [Interpolation; 8] = [
    Interpolation::Nearest,
    Interpolation::Bilinear,
    Interpolation::Bicubic,
    Interpolation::Area,
    Interpolation::Lanczos3,
    Interpolation::Lanczos5,
    Interpolation::Gaussian,
    Interpolation::MitchellCubic,
];

impl Drawing {
    /// A window that is moved by more than one or has gaps, not both, as in Keras.
    fn window(&mut self) -> Window {
        let size = self.random.between(1, 3);
        let (stride, dilation) = self.random.pick(&[(1, 1), (1, 1), (2, 1), (3, 1), (1, 2)]);
        let padding = match self.random.between(0, 2) {
            0 => Padding::VALID,
            1 => Padding::Same,
            _ => Padding::Explicit { before: self.random.between(0, 2), after: self.random.between(0, 2) },
        };
        Window { size, stride, dilation, padding }
    }

    /// Two windows, mostly with the same padding.
    fn windows(&mut self) -> [Window; 2] {
        let windows = [self.window(), self.window()];
        if self.random.one_in(4) {
            windows
        } else {
            windows.map(|window| Window { padding: windows[0].padding, ..window })
        }
    }

    pub(super) fn convolution(&mut self) -> Result<Value, Fault> {
        let (x, [.., channels]) = self.image();
        let windows = self.windows();
        self.convolved(x, channels, windows)
    }

    fn convolved(&mut self, x: Value, channels: usize, windows: [Window; 2]) -> Result<Value, Fault> {
        let groups = self.random.pick(&[1, 1, channels, 2]);
        if !channels.is_multiple_of(groups) {
            return Err("the groups do not divide the channels".into());
        }
        let outputs = groups * self.random.between(1, 3);
        let [rows, columns] = windows.map(|window| window.size);
        let kernel = self.weight(&[rows, columns, channels / groups, outputs]);
        let bias = self.random.one_in(2).then(|| self.random.weight_vector(outputs));
        self.builder.convolution(x, Convolution { kernel, bias, windows, groups })
    }

    pub(super) fn convolution_transpose(&mut self) -> Result<Value, Fault> {
        let (x, [height, width, channels]) = self.image();
        let (windows, outputs) = (self.windows(), self.random.between(1, 3));
        let [rows, columns] = windows.map(|window| window.size);
        let kernel = self.weight(&[rows, columns, outputs, channels]);
        let bias = self.random.one_in(2).then(|| self.random.weight_vector(outputs));
        let mut size = |window: Window, length: usize| {
            // Several sizes become the same length.
            let more = self.random.between(0, window.stride - 1);
            match window.padding {
                Padding::Same => Some(length * window.stride - more),
                Padding::Explicit { before, after } => {
                    ((length - 1) * window.stride + window.reach() + more).checked_sub(before + after)
                }
            }
        };
        let size = size(windows[0], height).zip(size(windows[1], width));
        let (height, width) =
            size.filter(|(height, width)| *height > 0 && *width > 0).ok_or("it has no pixels")?;
        let size = [height, width].map(Size::Known);
        self.builder.convolution_transpose(x, ConvolutionTranspose { kernel, bias, windows, size })
    }

    /// Without padding or with as much as keeps the size, which is what formats have.
    pub(super) fn pool(&mut self) -> Result<Value, Fault> {
        let kind = self.random.pick(&[PoolKind::Average, PoolKind::Max]);
        let padding = self.random.pick(&[Padding::VALID, Padding::Same]);
        let (x, _) = self.image();
        let windows = self.windows().map(|window| Window { padding, dilation: 1, ..window });
        self.builder.pool(x, kind, windows)
    }

    pub(super) fn patches(&mut self) -> Result<Value, Fault> {
        let (x, _) = self.image();
        let windows = self.windows();
        self.builder.patches(x, windows)
    }

    pub(super) fn resize(&mut self) -> Result<Value, Fault> {
        let (x, [height, width, _]) = self.image();
        let mut size = |length: usize| self.random.pick(&[length, 2 * length, 1, 3, 5, 8]);
        let size = [size(height), size(width)].map(Size::Known);
        let (interpolation, antialias) = (self.random.pick(&INTERPOLATIONS), self.random.one_in(2));
        self.builder.resize(x, Resize { size, interpolation, antialias })
    }

    pub(super) fn space_to_depth(&mut self) -> Result<Value, Fault> {
        let (x, [height, width, _]) = self.image();
        // What fits the blocks already is rare.
        let x =
            self.builder.slice(x, &[model::Range::WHOLE, even(height), even(width), model::Range::WHOLE])?;
        self.builder.space_to_depth(x, 2)
    }

    pub(super) fn depth_to_space(&mut self) -> Result<Value, Fault> {
        let (x, _) = self.image();
        let x = self.builder.concatenate(&[x, x, x, x], 3)?;
        self.builder.depth_to_space(x, 2)
    }

    /// Padding, a convolution, a normalization.
    pub(super) fn block(&mut self) -> Result<Value, Fault> {
        let (x, [.., channels]) = self.image();
        let mut edges = || [self.random.between(0, 2), self.random.between(0, 2)];
        let edges = [[0, 0], edges(), edges(), [0, 0]];
        let x = self.builder.pad(x, &edges, PadMode::Constant(0.0))?;
        let windows = self.windows();
        let x = self.convolved(x, channels, windows)?;
        self.normalized(x, 3)
    }

    pub(super) fn there_and_back(&mut self) -> Result<Value, Fault> {
        let (x, _) = self.image();
        let first = self.builder.transpose(x, &[0, 3, 1, 2])?;
        self.builder.transpose(first, &[0, 2, 3, 1])
    }
}

/// All of an axis but the last element of an odd one.
fn even(length: usize) -> model::Range {
    model::Range::between(0, length / 2 * 2)
}
