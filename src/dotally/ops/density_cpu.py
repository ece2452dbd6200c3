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
# Taps are computed in blocks whose arrays stay in a core's cache and below the size at which an allocator gives memory
# back to the system: pages that every call gets anew cost more than the arithmetic on them.
BLOCK_TAPS = 16_384

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
    for chunk in _chunks(2 * radius + 1, MAX_TAPS):
        rows, columns = (
            _axis_tiles(pixel[chunk, a], sigma[chunk], radius[chunk], limit[chunk, a], stride, renormalize, dtype)
            for a in (0, 1)
        )
        _add_products(canvas, picture[chunk], rows, columns, across)
    return canvas[:, : cells[0], : cells[1]]


def _chunks(taps: Ints, most: int) -> Iterator[slice]:
    """Cut the heads into runs of at most so many taps (at least one head each)."""
    start, end = 0, np.cumsum(taps)
    while start < len(taps):
        done = end[start - 1] if start else 0
        stop = max(int(np.searchsorted(end, done + most, side="right")), start + 1)
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
    first_tile = np.maximum(center - radius, 0) // (stride * TILE)
    tiles = np.minimum(center + radius, limit - 1) // (stride * TILE) - first_tile + 1
    first_row = np.cumsum(tiles) - tiles
    taps = np.empty((int(tiles.sum()), TILE), dtype)
    for part in _chunks(2 * radius + 1, BLOCK_TAPS):
        cell, weight = _taps(center[part], sigma[part], radius[part], limit[part], stride, renormalize)
        start, count = first_row[part.start], int(tiles[part].sum())
        # rows of a head lie as its tiles do, so one shift leads from all its cells to their places
        cell += np.repeat((first_row[part] - start - first_tile[part]) * TILE, 2 * radius[part] + 1)
        taps[start : start + count] = np.bincount(cell, weight, minlength=count * TILE).reshape(count, TILE)
    return AxisTiles(taps=taps, first_row=first_row, first_tile=first_tile, tiles=tiles)


def _taps(
    center: Ints, sigma: Floats, radius: Ints, limit: Ints, stride: int, renormalize: bool
) -> tuple[Ints, Floats]:
    """Return every tap's cell and weight; those outside the picture weigh 0 in its outermost cell."""
    length = 2 * radius + 1
    head, offset = _runs(length)
    offset -= np.repeat(radius, length)
    # a head of sigma 0 has radius 0 and so a single tap at offset 0, whatever it is divided by
    weight = offset / np.repeat(np.maximum(sigma, 1e-9), length)
    np.square(weight, out=weight)
    weight *= -0.5
    np.exp(weight, out=weight)
    pixel, last = np.repeat(center, length) + offset, np.repeat(limit - 1, length)
    inside = (pixel >= 0) & (pixel <= last)
    if renormalize:
        weight *= inside
    weight /= np.repeat(np.bincount(head, weight, minlength=len(center)), length)
    weight *= inside
    np.clip(pixel, 0, last, out=pixel)
    return pixel // stride, weight


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
        tile += rows.taps.take(u[start:stop], axis=0).T @ columns.taps.take(v[start:stop], axis=0)


def _runs(lengths: Ints) -> tuple[Ints, Ints]:
    """Return for runs of the given lengths, laid in a row, the index of each item's run and its place in the run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, place
