"""Density maps on the CPU: every head's separable Gaussian is cut into tiles, and each tile is one matrix product.

A head touches few tiles, so the products are small and dense. Taps are computed once per head and axis, in float64,
as ``scipy.ndimage.gaussian_filter`` does: radius ``int(4 sigma + 0.5)``, weights divided by their own sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE = 64  # cells; large enough to hide the per-tile overhead, small enough to skip most of an empty map
MAX_TAPS = 4_000_000  # heads are taken in chunks of at most this many taps, which bounds memory at any sigma

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AxisTiles:
    """The taps of all heads along one axis, cut into tiles.

    Attributes:
        taps: ``[rows, TILE]``; one row for every (head, tile) that the head's window touches.
        first_row: ``[N]`` row of a head's first tile.
        first_tile: ``[N]`` index of that tile.
        tiles: ``[N]`` how many tiles a head touches; its rows lie one after another.
    """

    taps: NDArray[np.floating]
    first_row: Ints
    first_tile: Ints
    tiles: Ints


def render(
    points: Floats,
    sigma: Floats,
    picture: Ints,
    valid: Ints,
    cells: tuple[int, int],
    *,
    stride: int,
    renormalize: bool,
    dtype: type[np.floating],
) -> NDArray[np.floating]:
    """Render the maps of a batch.

    Args:
        points: ``[N, 2]`` (x, y) in pixels.
        sigma: ``[N]`` pixels.
        picture: ``[N]`` index of the picture a head belongs to.
        valid: ``[B, 2]`` (height, width) of each picture in pixels.
        cells: (rows, columns) of the map.
        stride: Pixels per cell.
        renormalize: Whether each head's mass inside its picture is brought back to 1.
        dtype: In which the tiles are multiplied and the map is returned.

    Returns:
        ``[B, rows, columns]`` heads per cell.
    """
    pixel = np.floor(points[:, ::-1]).astype(np.int64)  # [N, 2] (row, column)
    limit = valid[picture]
    inside = ((pixel >= 0) & (pixel < limit)).all(axis=1)
    pixel, limit, sigma, picture = pixel[inside], limit[inside], sigma[inside], picture[inside]
    radius = (4.0 * sigma + 0.5).astype(np.int64)
    across = -(-cells[1] // TILE)
    canvas = np.zeros((len(valid), -(-cells[0] // TILE) * TILE, across * TILE), dtype)
    for chunk in _chunks(2 * radius + 1):
        rows, columns = (
            _axis_tiles(pixel[chunk, a], sigma[chunk], radius[chunk], limit[chunk, a], stride, renormalize, dtype)
            for a in (0, 1)
        )
        _add_products(canvas, picture[chunk], rows, columns, across)
    return canvas[:, : cells[0], : cells[1]]


def _chunks(taps: Ints) -> Iterator[slice]:
    """Cut the heads into runs of at most ``MAX_TAPS`` taps (at least one head each)."""
    start, end = 0, np.cumsum(taps)
    while start < len(taps):
        done = end[start - 1] if start else 0
        stop = max(int(np.searchsorted(end, done + MAX_TAPS, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def _axis_tiles(
    center: Ints,
    sigma: Floats,
    radius: Ints,
    limit: Ints,
    stride: int,
    renormalize: bool,
    dtype: type[np.floating],
) -> AxisTiles:
    head, offset = _runs(2 * radius + 1)
    offset -= radius[head]
    # a head of sigma 0 has radius 0 and so a single tap at offset 0, whatever it is divided by
    weight = np.exp(-0.5 * np.square(offset / np.maximum(sigma, 1e-9)[head]))
    position = center[head] + offset
    inside = (position >= 0) & (position < limit[head])
    if renormalize:
        weight *= inside
    weight /= np.bincount(head, weight, minlength=len(center))[head]

    first_tile = np.maximum(center - radius, 0) // (stride * TILE)
    tiles = np.minimum(center + radius, limit - 1) // (stride * TILE) - first_tile + 1
    first_row = np.cumsum(tiles) - tiles
    cell = position[inside] // stride
    owner = head[inside]
    row = first_row[owner] + cell // TILE - first_tile[owner]
    taps = np.bincount(row * TILE + cell % TILE, weight[inside], minlength=int(tiles.sum()) * TILE)
    return AxisTiles(
        taps=taps.reshape(-1, TILE).astype(dtype),
        first_row=first_row,
        first_tile=first_tile,
        tiles=tiles,
    )


def _add_products(
    canvas: NDArray[np.floating], picture: Ints, rows: AxisTiles, columns: AxisTiles, across: int
) -> None:
    """Add row taps times column taps, tile by tile, over the heads that touch the tile."""
    head, pair = _runs(rows.tiles * columns.tiles)
    down, right = pair // columns.tiles[head], pair % columns.tiles[head]
    tile_row, tile_column = rows.first_tile[head] + down, columns.first_tile[head] + right
    key = (picture[head] << 40) + tile_row * across + tile_column
    order = np.argsort(key, kind="stable")
    u, v = (rows.first_row[head] + down)[order], (columns.first_row[head] + right)[order]
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        pair = order[start]
        y, x = tile_row[pair] * TILE, tile_column[pair] * TILE
        tile = canvas[picture[head[pair]], y : y + TILE, x : x + TILE]
        tile += rows.taps[u[start:stop]].T @ columns.taps[v[start:stop]]


def _runs(lengths: Ints) -> tuple[Ints, Ints]:
    """Return for runs of the given lengths, laid in a row, the index of each item's run and its place in the run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(owner)) - (np.cumsum(lengths) - lengths)[owner]
    return owner, place
