//! A 3×3 convolution in Winograd tiles: matrix products between two transforms. See [`winograd`](crate::winograd).

use tensorflow::{DataType, Output};

use super::fused::{Fused, Kind, PaddingAttribute};
use super::{Fault, Ops};
use crate::library::IMAGES_A_CORE;
use crate::winograd::{KERNEL, Tile};
use model::Tensor;

/// Fewest input and output channels. With fewer, the transforms cost more than the multiplications that are saved.
const FEWEST_CHANNELS: usize = 32;

/// Fewest tiles in a run of several images. Each value of the transformed kernel, which is larger than the kernel itself,
/// is loaded from memory for that many multiplications.
const FEWEST_TILES: usize = 64;

/// Most values of a transformed image. More do not stay in the processor's caches between operations, and take memory in
/// each run: several times 32 MiB.
const MOST_VALUES: usize = 8 << 20;

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    /// Height, width and channels.
    pub(crate) image: [usize; 3],
    /// Channels out.
    pub(crate) channels: usize,
    /// Zeros before and after height and width.
    pub(crate) zeros: [[usize; 2]; 2],
}

impl Geometry {
    /// The geometry of a convolution that can be computed in tiles, of images of this height and width.
    pub(crate) fn of(fused: &Fused<'_>, [height, width]: [usize; 2]) -> Option<Self> {
        let [KERNEL, KERNEL, channels_in, channels] = fused.kernel.shape[..] else { return None };
        let zeros = match fused.padding {
            PaddingAttribute::Named("SAME") => [[1, 1]; 2],
            PaddingAttribute::Named(_) => [[0, 0]; 2],
            PaddingAttribute::Explicit(zeros) => zeros,
        };
        let few = zeros.iter().flatten().all(|zeros| *zeros < KERNEL);
        let geometry = Self { image: [height, width, channels_in], channels, zeros };
        let [tall, wide] = geometry.result();
        let fits = fused.kind == Kind::Full && fused.strides == [1; 4] && few && tall > 0 && wide > 0;
        fits.then_some(geometry)
    }

    /// The largest tile that is worth a trial.
    pub(crate) fn promising(self) -> Option<Tile> {
        let [_, _, channels] = self.image;
        let (fewer, more) = (channels.min(self.channels), channels.max(self.channels));
        let fits = |tile: Tile| {
            let tiles: usize = self.tiles(tile).iter().product();
            let points = tiles * tile.taps().pow(2) * more;
            tiles * IMAGES_A_CORE >= FEWEST_TILES && points <= MOST_VALUES
        };
        [Tile::Four, Tile::Two].into_iter().find(|tile| fewer >= FEWEST_CHANNELS && fits(*tile))
    }

    /// How many tiles there are vertically and horizontally.
    fn tiles(self, tile: Tile) -> [usize; 2] {
        self.result().map(|size| size.div_ceil(tile.edge()))
    }

    /// Height and width of the output.
    fn result(self) -> [usize; 2] {
        let [height, width, _] = self.image;
        let [vertical, horizontal] = self.zeros.map(|[before, after]| before + after);
        [height + vertical, width + horizontal].map(|size| size.saturating_sub(KERNEL - 1))
    }
}

impl Ops {
    /// Adds the convolution in tiles, and the operations that follow it.
    pub(crate) fn fused_in_tiles(
        &mut self,
        fused: &Fused<'_>,
        tiles: (Tile, Geometry),
        input: &Output,
    ) -> Result<Output, Fault> {
        self.tiled = true;
        let output = self.in_tiles(fused.kernel, tiles, input)?;
        self.followers(fused, output, DataType::Float)
    }

    fn in_tiles(
        &mut self,
        kernel: &Tensor,
        (tile, geometry): (Tile, Geometry),
        input: &Output,
    ) -> Result<Output, Fault> {
        let [height, width, channels] = geometry.image;
        let [tall, wide] = geometry.result();
        let (edge, points) = (tile.edge(), tile.taps().pow(2));
        let [down, across] = geometry.tiles(tile);

        // Splits the image into blocks of the size of a tile's output. A tile's input is one block, and the first rows and
        // columns of the next ones.
        let [[top, _], [left, _]] = geometry.zeros;
        let bottom = (down + 1) * edge - height - top;
        let right = (across + 1) * edge - width - left;
        let padded = self.pad(input, &[[0, 0], [top, bottom], [left, right], [0, 0]], 0.0)?;
        let blocks = self.reshape(
            &padded,
            &[None, Some(down + 1), Some(edge), Some(across + 1), Some(edge), Some(channels)],
        )?;
        let blocks = self.transpose(&blocks, &[2, 4, 0, 1, 3, 5])?;
        let mut order = Vec::with_capacity(points);
        let mut parts = Vec::with_capacity(4);
        for next in [[0, 0], [0, 1], [1, 0], [1, 1]] {
            let [rows, columns] = next.map(|next| if next == 0 { edge } else { KERNEL - 1 });
            let positions = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            order.extend(positions.map(|(row, column)| (next[0] * edge + row, next[1] * edge + column)));
            let begin = self.sizes_constant(&[0, 0, 0, next[0], next[1], 0].map(Some))?;
            let size = [Some(rows), Some(columns), None, Some(down), Some(across), Some(channels)];
            let size = self.sizes_constant(&size)?;
            let part = self.op("Slice", &[&blocks, &begin, &size], &[])?;
            parts.push(self.reshape(&part, &[Some(rows * columns), None])?);
        }
        let inputs = self.concatenate(&parts, 0)?;

        let basis = self.constant(&[points, points], &tile.points_of_inputs(&order))?;
        let inputs = self.binary("MatMul", &basis, &inputs)?;
        let inputs = self.reshape(&inputs, &[Some(points), None, Some(channels)])?;
        let kernel = self.variable(&tile.points_of_kernel(kernel), DataType::Float)?;
        let products = self.binary("BatchMatMulV2", &inputs, &kernel)?;
        let products = self.reshape(&products, &[Some(points), None])?;
        let basis = self.constant(&[edge * edge, points], &tile.outputs_of_points())?;
        let outputs = self.binary("MatMul", &basis, &products)?;

        let channels = geometry.channels;
        let outputs = self
            .reshape(&outputs, &[Some(edge), Some(edge), None, Some(down), Some(across), Some(channels)])?;
        let outputs = self.transpose(&outputs, &[2, 3, 0, 4, 1, 5])?;
        let outputs =
            self.reshape(&outputs, &[None, Some(down * edge), Some(across * edge), Some(channels)])?;
        if [tall, wide] == [down, across].map(|tiles| tiles * edge) {
            return Ok(outputs);
        }
        let begin = self.sizes_constant(&[Some(0); 4])?;
        let size = self.sizes_constant(&[None, Some(tall), Some(wide), Some(channels)])?;
        self.op("Slice", &[&outputs, &begin, &size], &[])
    }
}
