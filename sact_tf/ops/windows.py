"""Windows: whole tiles of a map with a border around them, computed as a batch of small maps.

A map is cut into a grid of tiles of about equal size, as few as a given greatest side allows. A
window is a tile and the `reach` positions around it, which the 3x3 convolutions that follow each
other in a residual unit read. Where rows of single positions are narrow, moving whole windows is
the cheaper way to leave out what has halted. The tiles are a means of computing, not of halting.

B batch, H W map, C channels; a tile has h x w positions, a window (h + 2 reach) x (w + 2 reach);
T tiles of all images, A of them chosen. Maps lie in memory as lines: the w positions of a tile in
one row of the map.
"""

from typing import NamedTuple

import tensorflow as tf

from sact_tf.ops.positions import strided_size

# Numbers of windows differ from batch to batch, and a convolution prepares itself anew for each
# shape it has not seen: they are rounded up to one of this many.
_SIZES = 16


class WindowGrid(NamedTuple):
    """How a map is cut into tiles; ints where sizes are known, else int32 scalars.

    Attributes:
        batch, height, width: of the map.
        rows, columns: tiles from top to bottom and from left to right.
        tile_height, tile_width: positions of a tile.
        reach: positions around it in its window.
    """

    batch: tf.Tensor | int
    height: tf.Tensor | int
    width: tf.Tensor | int
    rows: tf.Tensor | int
    columns: tf.Tensor | int
    tile_height: tf.Tensor | int
    tile_width: tf.Tensor | int
    reach: int

    @property
    def num_tiles(self) -> tf.Tensor | int:
        """T."""
        return self.batch * self.rows * self.columns

    @property
    def num_lines(self) -> tf.Tensor | int:
        """Lines of a map."""
        return self.num_tiles * self.tile_height

    @property
    def missing(self) -> list[tf.Tensor | int]:
        """Positions by which the tiles stand out at the bottom and at the right."""
        return [
            self.rows * self.tile_height - self.height,
            self.columns * self.tile_width - self.width,
        ]

    @property
    def is_exact(self) -> bool:
        """Whether it is known that no tile stands out."""
        return all(isinstance(missing, int) and missing == 0 for missing in self.missing)


class Windows(NamedTuple):
    """Chosen windows; those from `num_tiles` on make a round number, and hold whatever they hold.

    Attributes:
        tiles: int32 [A], numbers of the tiles; T for those that fill up.
        num_tiles: int32 scalar.
        images: int32 [A], index in the batch of each tile; B for those that fill up.
        lines: int32 [A, h], the lines of each tile.
        places: int32 [A, h + 2 reach, w + 2 reach], positions of a map in lines; any of them where
            a position is outside the map.
        inside: bool of the same shape, whether a position is inside the image.
    """

    tiles: tf.Tensor
    num_tiles: tf.Tensor
    images: tf.Tensor
    lines: tf.Tensor
    places: tf.Tensor
    inside: tf.Tensor


def window_grid(maps: tf.Tensor, side: int, reach: int, step: int = 1) -> WindowGrid:
    """Cuts the maps into tiles.

    Args:
        maps: [B, H, W, ...].
        side: the most positions along a side of a tile, but no less than `step`.
        reach: see `WindowGrid`.
        step: sides are multiples of it, so that tiles are whole ones of some that halt as one.
    """
    dynamic = tf.shape(maps)
    batch, height, width = (
        dynamic[axis] if maps.shape[axis] is None else maps.shape[axis] for axis in range(3)
    )
    side = max(side // step, 1) * step
    tile_height, tile_width = (_even_tile(size, side, step) for size in (height, width))
    rows, columns = strided_size(height, tile_height), strided_size(width, tile_width)
    return WindowGrid(batch, height, width, rows, columns, tile_height, tile_width, reach)


def _even_tile(size, side, step):
    """The tiles along one side are as few as `side` allows, and of those the most equal ones."""
    even = strided_size(size, strided_size(size, side))
    return strided_size(even, step) * step


def to_lines(maps: tf.Tensor, grid: WindowGrid) -> tf.Tensor:
    """Maps as lines: [B, H, W, ...] -> [lines, w, ...]."""
    maps = _whole_tiles(maps, grid)
    return tf.reshape(maps, [grid.num_lines, grid.tile_width, *maps.shape[3:]])


def zero_lines(grid: WindowGrid, dtype: tf.DType) -> tf.Tensor:
    """Maps of zeros without channels, [lines, w]."""
    return tf.zeros([grid.num_lines, grid.tile_width], dtype)


def from_lines(lines: tf.Tensor, grid: WindowGrid) -> tf.Tensor:
    """The maps that `to_lines` got."""
    whole = [grid.batch, grid.rows * grid.tile_height, grid.columns * grid.tile_width]
    maps = tf.reshape(lines, [*whole, *lines.shape[2:]])
    return maps if grid.is_exact else maps[:, : grid.height, : grid.width]


def tiles_with_any(positions: tf.Tensor, grid: WindowGrid) -> tf.Tensor:
    """Which tiles have any of the positions: bool [B, H, W] -> bool [T]."""
    whole = _whole_tiles(positions, grid)
    by_row = tf.reshape(
        whole,
        [grid.batch, grid.rows, grid.tile_height, grid.columns * grid.tile_width],
    )
    by_row = tf.reduce_any(by_row, axis=2)
    by_tile = tf.reshape(by_row, [grid.num_tiles, grid.tile_width])
    return tf.reduce_any(by_tile, axis=1)


def find_windows(tiles: tf.Tensor, grid: WindowGrid, valid: tf.Tensor | None = None) -> Windows:
    """The windows of some tiles.

    Args:
        tiles: int32 [A'], numbers of tiles, none twice.
        grid: `WindowGrid` of the map.
        valid: optional bool [B, H, W]; what is not padding.

    Returns:
        `Windows` of A >= A' tiles.
    """
    num_tiles = tf.size(tiles)
    tiles = tf.concat([tiles, tf.fill([_filling(num_tiles, grid)], grid.num_tiles)], axis=0)
    strip, column = tiles // grid.columns, tiles % grid.columns
    own_rows = (strip * grid.tile_height)[:, tf.newaxis] + tf.range(grid.tile_height)
    lines = tf.minimum(own_rows * grid.columns + column[:, tf.newaxis], grid.num_lines - 1)
    rows, row_inside = _along(strip % grid.rows, grid.tile_height, grid.rows, grid.reach)
    rows += (strip // grid.rows * grid.rows * grid.tile_height)[:, tf.newaxis]
    columns, column_inside = _along(column, grid.tile_width, grid.columns, grid.reach)
    row_inside &= (tiles < grid.num_tiles)[:, tf.newaxis]
    inside = row_inside[:, :, tf.newaxis] & column_inside[:, tf.newaxis]
    places = (rows * (grid.columns * grid.tile_width))[:, :, tf.newaxis] + columns[:, tf.newaxis]
    places = tf.where(inside, places, 0)
    if valid is not None or not grid.is_exact:
        present = tf.ones([grid.batch, grid.height, grid.width], tf.bool)
        present = to_lines(present if valid is None else valid, grid)
        inside &= tf.gather(tf.reshape(present, [-1]), places)
    images = tiles // (grid.rows * grid.columns)
    return Windows(tiles, num_tiles, images, lines, places, inside)


def keep_windows(windows: Windows, kept: tf.Tensor, grid: WindowGrid) -> tuple[Windows, tf.Tensor]:
    """Some of the windows.

    Args:
        windows: `Windows`.
        kept: int32 [A'], which of their tiles, increasing.
        grid: `WindowGrid` of the map.

    Returns:
        `(windows, source)`: `Windows` of a round number A of tiles, and int32 [A], which of the
        given ones each of them was.
    """
    filling = _filling(tf.size(kept), grid)
    source = tf.concat([kept, tf.zeros([filling], tf.int32)], axis=0)
    tiles = tf.concat([tf.gather(windows.tiles, kept), tf.fill([filling], grid.num_tiles)], axis=0)
    return Windows(
        tiles=tiles,
        num_tiles=tf.size(kept),
        images=tiles // (grid.rows * grid.columns),
        lines=tf.gather(windows.lines, source),
        places=tf.gather(windows.places, source),
        inside=tf.gather(windows.inside, source),
    ), source


def _filling(number, grid):
    """By how many windows a number of them is rounded up."""
    step = strided_size(grid.num_tiles, _SIZES)
    return strided_size(number, step) * step - number


def read_windows(lines: tf.Tensor, windows: Windows) -> tf.Tensor:
    """Gathers windows: [lines, w, C] -> [A, h + 2 reach, w + 2 reach, C]; anything outside."""
    return tf.gather(tf.reshape(lines, [-1, lines.shape[-1]]), windows.places)


def cut_windows(features: tf.Tensor, inside: tf.Tensor, edge: int) -> tf.Tensor:
    """Says what shape windows have after convolutions without padding.

    oneDNN's convolution gives windows of the old size where there is no window at all.

    Args:
        features: [A, h + 2 reach - 2 edge, w + 2 reach - 2 edge, C], or of any size for A = 0.
        inside: [A, h + 2 reach, w + 2 reach].
        edge: by how many positions the convolutions cut each side.
    """
    batch, height, width = tf.unstack(tf.shape(inside))
    shape = [batch, height - 2 * edge, width - 2 * edge, features.shape[-1]]
    return tf.reshape(features, shape)


def read_tiles(maps: tf.Tensor, windows: Windows, grid: WindowGrid) -> tf.Tensor:
    """The tiles of the windows, without what is around: [B, H, W, ...] -> [A, h, w, ...]."""
    return tf.gather(to_lines(maps, grid), windows.lines)


def write_tiles(lines: tf.Tensor, tiles: tf.Tensor, windows: Windows) -> tf.Tensor:
    """Puts tiles into maps, in place where nobody else reads these.

    Args:
        lines: [lines, w, ...], see `to_lines`.
        tiles: [A, h, w, ...].
        windows: `Windows` of the tiles.

    Returns:
        The new lines.
    """
    numbers, new = lines_of(windows.lines[: windows.num_tiles], tiles[: windows.num_tiles])
    return tf.tensor_scatter_nd_update(lines, numbers[:, tf.newaxis], new)


def lines_of(numbers: tf.Tensor, tiles: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The lines of tiles in a row: [A, h], [A, h, w, ...] -> [A * h], [A * h, w, ...]."""
    shape = tf.concat([[tf.size(numbers)], tf.shape(tiles)[2:]], axis=0)
    return tf.reshape(numbers, [-1]), tf.reshape(tiles, shape)


def _along(tile, size, count, reach):
    """Windows along one side: positions [A, size + 2 reach], and whether the map has them."""
    positions = (tile * size)[:, tf.newaxis] + tf.range(-reach, size + reach)
    return positions, (positions >= 0) & (positions < count * size)


def _whole_tiles(maps, grid):
    if grid.is_exact:
        return maps
    borders = [[0, 0], *([0, missing] for missing in grid.missing)]
    return tf.pad(maps, borders + [[0, 0]] * (len(maps.shape) - 3))
