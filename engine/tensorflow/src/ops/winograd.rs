//! A 3×3 convolution in Winograd tiles: matrix products between two transforms. See [`winograd`](crate::winograd).

use tensorflow::{DataType, Output};

use super::fused::{Fused, Kind, PaddingAttribute};
use super::{Fault, Ops, to_i32};
use crate::library::Convolutions;
use crate::library::IMAGES_A_CORE;
use crate::winograd::{KERNEL, Tile, Winograd, trial};
use keras::Tensor;
use keras::layers::Edges;

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
    pub(crate) zeros: Edges,
}

impl Geometry {
    /// The geometry of a convolution that can be computed in tiles.
    pub(super) fn of(ops: &Ops, fused: &Fused<'_>, input: &Output) -> Result<Option<Self>, Fault> {
        let [KERNEL, KERNEL, channels_in, channels] = fused.kernel.shape[..] else { return Ok(None) };
        let [_, Some(height), Some(width), _] = ops.sizes(input)?[..] else { return Ok(None) };
        let zeros = match fused.padding {
            PaddingAttribute::Named("SAME") => Edges { top: 1, bottom: 1, left: 1, right: 1 },
            PaddingAttribute::Named(_) => Edges { top: 0, bottom: 0, left: 0, right: 0 },
            PaddingAttribute::Explicit(edges) => edges,
        };
        let few = [zeros.top, zeros.bottom, zeros.left, zeros.right].iter().all(|zeros| *zeros < KERNEL);
        let geometry = Self { image: [height, width, channels_in], channels, zeros };
        let [tall, wide] = geometry.result();
        let fits = fused.kind == Kind::Full && fused.strides == [1; 4] && few && tall > 0 && wide > 0;
        Ok(fits.then_some(geometry))
    }

    /// The largest tile that is worth a trial.
    fn promising(self) -> Option<Tile> {
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
        let Edges { top, bottom, left, right } = self.zeros;
        let [height, width, _] = self.image;
        [height + top + bottom, width + left + right].map(|size| size.saturating_sub(KERNEL - 1))
    }
}

impl Ops {
    /// The tile to compute the convolution with, if that is quicker.
    pub(super) fn tile(&self, fused: &Fused<'_>, input: &Output) -> Result<Option<(Tile, Geometry)>, Fault> {
        let geometry =
            if self.convolutions == Convolutions::Fused { Geometry::of(self, fused, input)? } else { None };
        let Some(geometry) = geometry else { return Ok(None) };
        let tile = match self.library.winograd {
            Winograd::Never => None,
            Winograd::Always(tile) => Some(tile),
            Winograd::WhereQuicker => {
                geometry.promising().filter(|tile| trial::is_quicker(&self.library, fused, (*tile, geometry)))
            }
        };
        Ok(tile.map(|tile| (tile, geometry)))
    }

    /// Adds the convolution in tiles, and the operations that follow it.
    pub(crate) fn fused_in_tiles(
        &mut self,
        fused: &Fused<'_>,
        tiles: (Tile, Geometry),
        input: &Output,
    ) -> Result<Output, Fault> {
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
        let Edges { top, left, .. } = geometry.zeros;
        let bottom = (down + 1) * edge - height - top;
        let right = (across + 1) * edge - width - left;
        let padded = self.pad(input, Edges { top, bottom, left, right })?;
        let blocks = self.reshape_to(
            &padded,
            &[None, Some(down + 1), Some(edge), Some(across + 1), Some(edge), Some(channels)],
        )?;
        let blocks = self.transposed(&blocks, &[2, 4, 0, 1, 3, 5])?;
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
            parts.push(self.reshape_to(&part, &[Some(rows * columns), None])?);
        }
        let inputs = self.concatenate(&parts, 0)?;

        let basis = self.constant(&[points, points], &tile.points_of_inputs(&order))?;
        let inputs = self.binary("MatMul", &basis, &inputs)?;
        let inputs = self.reshape_to(&inputs, &[Some(points), None, Some(channels)])?;
        let kernel = self.variable(&tile.points_of_kernel(kernel), DataType::Float)?;
        let products = self.binary("BatchMatMulV2", &inputs, &kernel)?;
        let products = self.reshape_to(&products, &[Some(points), None])?;
        let basis = self.constant(&[edge * edge, points], &tile.outputs_of_points())?;
        let outputs = self.binary("MatMul", &basis, &products)?;

        let channels = geometry.channels;
        let outputs = self.reshape_to(
            &outputs,
            &[Some(edge), Some(edge), None, Some(down), Some(across), Some(channels)],
        )?;
        let outputs = self.transposed(&outputs, &[2, 3, 0, 4, 1, 5])?;
        let outputs =
            self.reshape_to(&outputs, &[None, Some(down * edge), Some(across * edge), Some(channels)])?;
        if [tall, wide] == [down, across].map(|tiles| tiles * edge) {
            return Ok(outputs);
        }
        let begin = self.sizes_constant(&[Some(0); 4])?;
        let size = self.sizes_constant(&[None, Some(tall), Some(wide), Some(channels)])?;
        self.op("Slice", &[&outputs, &begin, &size], &[])
    }

    /// Reshapes; one size may be `None`, which is inferred.
    fn reshape_to(&mut self, input: &Output, sizes: &[Option<usize>]) -> Result<Output, Fault> {
        let sizes = self.sizes_constant(sizes)?;
        self.binary("Reshape", input, &sizes)
    }

    fn transposed(&mut self, input: &Output, order: &[i32]) -> Result<Output, Fault> {
        let order = self.integers(&[order.len()], order)?;
        self.binary("Transpose", input, &order)
    }

    /// Sizes as a constant of TensorFlow, with -1 for `None`.
    fn sizes_constant(&mut self, sizes: &[Option<usize>]) -> Result<Output, Fault> {
        let sizes = sizes.iter().map(|size| size.map_or(Ok(-1), to_i32)).collect::<Result<Vec<i32>, _>>()?;
        self.integers(&[sizes.len()], &sizes)
    }
}
