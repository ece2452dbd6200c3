"""The packed file: decoded pictures of a data set with their dots in one HDF5 file, laid out to be memory-mapped.

Every split is a group of plain arrays without chunks or compression, which any HDF5 reader opens and which lie in one
piece at a known place of the file: pixels of all pictures in a row, each ``[3, H, W]``, and their points and sigmas. A
crop of a picture then costs the pages that it touches, and nothing is decoded.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dotally.data.sample import CrowdSample
from dotally.errors import DataError
from dotally.files import atomic_path

FORMAT = "dotally-packed-2"
# in the file: type, and values per item
_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "pixels": ("u1", ()),
    "points": ("<f4", (2,)),
    "sigma": ("<f4", ()),
    "sha256": ("u1", (32,)),
}


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """What a split of a packed file holds, known before a picture is decoded.

    Attributes:
        names: Of the pictures, unique.
        sizes: ``[N, 2]`` (height, width) in pixels.
        counts: ``[N]`` dots.
        adaptive: Whether sigmas measure the crowd.
        region: Whether black pixels do not count, see :class:`dotally.data.published.PublishedDataset`.
    """

    names: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    counts: Sequence[int]
    adaptive: bool
    region: bool

    def lengths(self) -> dict[str, int]:
        """Return how many items each array has."""
        pixels = sum(3 * height * width for height, width in self.sizes)
        return {"pixels": pixels, "points": sum(self.counts), "sigma": sum(self.counts), "sha256": len(self.names)}

    def bytes(self) -> int:
        """Return what the arrays take on disk."""
        return sum(_nbytes(name, length) for name, length in self.lengths().items())


def create(path: Path, plans: Mapping[str, SplitPlan], made_from: str, reading: Mapping[str, Any]) -> None:
    """Write a packed file without content: no picture has its checksum, so none counts as there.

    Args:
        path: Where to.
        plans: By split.
        made_from: Whatever tells one source from another.
        reading: How pictures come to the size that they are packed at, plain values.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"], file.attrs["made_from"], file.attrs["reading"] = FORMAT, made_from, json.dumps(reading)
        for split, plan in plans.items():
            group = file.create_group(split)
            index = {
                "names": list(plan.names),
                "sizes": [list(size) for size in plan.sizes],
                "counts": list(plan.counts),
                "adaptive": plan.adaptive,
                "region": plan.region,
            }
            # a data set, because HDF5 bounds attributes to 64 KB
            group.create_dataset("index", data=np.frombuffer(json.dumps(index).encode(), dtype=np.uint8))
            for name, length in plan.lengths().items():
                _reserve(group, name, length)


class PackedSplit:
    """One split of a packed file. The file is mapped when first read, in every process anew.

    Args:
        path: The file.
        split: One of its groups.
        writable: Whether :meth:`write` may be called.

    Attributes:
        reading: See :func:`create`.

    Raises:
        DataError: No packed file, or without this split.
    """

    def __init__(self, path: Path, split: str, *, writable: bool = False) -> None:
        self.path, self.split, self.writable = path, split, writable
        with open_index(path) as file:
            if split not in file:
                raise DataError(f"{path}: holds no {split} pictures, only {', '.join(file)}")
            group = file[split]
            self.reading: dict[str, Any] = json.loads(file.attrs["reading"])
            self.plan = _plan(group["index"])
            self.places = {name: group[name].id.get_offset() for name in _ARRAYS}
        ends = np.cumsum([3 * height * width for height, width in self.plan.sizes])
        self.pixel_ends: NDArray[np.int64] = np.concatenate([[0], ends]).astype(np.int64)
        self.point_ends: NDArray[np.int64] = np.concatenate([[0], np.cumsum(self.plan.counts)]).astype(np.int64)
        self._maps: dict[str, NDArray[Any]] | None = None
        self._pixels: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": None, "_pixels": None}

    def __len__(self) -> int:
        return len(self.plan.names)

    def sample(self, index: int) -> CrowdSample:
        """Return picture ``index``; its image is a view of the file, which must not be written to."""
        maps = self._opened()
        assert self._pixels is not None
        dots = slice(self.point_ends[index], self.point_ends[index + 1])
        return CrowdSample(
            name=self.plan.names[index],
            image=self._pixels[self.pixel_ends[index] : self.pixel_ends[index + 1]].view(3, *self.plan.sizes[index]),
            points=torch.from_numpy(maps["points"][dots].astype(np.float32)),
            sigma=torch.from_numpy(maps["sigma"][dots].astype(np.float32)),
            adaptive=self.plan.adaptive,
        )

    def points(self, index: int) -> NDArray[np.float64]:
        """Return the points of picture ``index``, ``[N, 2]``."""
        return self._opened()["points"][self.point_ends[index] : self.point_ends[index + 1]].astype(np.float64)

    def write(self, index: int, sample: CrowdSample) -> None:
        """Write picture ``index``, its checksum last."""
        maps = self._opened()
        name, expected = self.plan.names[index], (self.plan.sizes[index], self.plan.counts[index])
        if (sample.size, len(sample.points)) != expected:
            found = (sample.size, len(sample.points))
            raise DataError(f"{name}: has size and dots {found} instead of {expected}; did its files change just now?")
        dots = slice(self.point_ends[index], self.point_ends[index + 1])
        maps["pixels"][self.pixel_ends[index] : self.pixel_ends[index + 1]] = sample.image.flatten().numpy()
        maps["points"][dots], maps["sigma"][dots] = sample.points.numpy(), sample.sigma.numpy()
        maps["sha256"][index] = np.frombuffer(self._digest(index), dtype=np.uint8)

    def is_whole(self, index: int) -> bool:
        """Return whether picture ``index`` is there and has its checksum."""
        return self._opened()["sha256"][index].tobytes() == self._digest(index)

    def flush(self) -> None:
        """Bring what was written to the disk."""
        for mapped in (self._maps or {}).values():
            if isinstance(mapped, np.memmap):
                mapped.flush()

    def _digest(self, index: int) -> bytes:
        maps = self._opened()
        dots = slice(self.point_ends[index], self.point_ends[index + 1])
        digest = hashlib.sha256(self.plan.names[index].encode())
        digest.update(maps["pixels"][self.pixel_ends[index] : self.pixel_ends[index + 1]].data)
        digest.update(maps["points"][dots].tobytes() + maps["sigma"][dots].tobytes())
        return digest.digest()

    def _opened(self) -> dict[str, NDArray[Any]]:
        if self._maps is None:
            self._maps = {name: self._map(name, length) for name, length in self.plan.lengths().items()}
            with warnings.catch_warnings():  # that it is read-only; nobody outside this package gets a view of it
                warnings.simplefilter("ignore", UserWarning)
                self._pixels = torch.from_numpy(np.asarray(self._maps["pixels"]))
        return self._maps

    def _map(self, name: str, length: int) -> NDArray[Any]:
        kind, item = _ARRAYS[name]
        if length == 0:
            return np.zeros((0, *item), dtype=kind)
        mode: Literal["r", "r+"] = "r+" if self.writable else "r"
        return np.memmap(self.path, dtype=np.dtype(kind), mode=mode, offset=self.places[name], shape=(length, *item))


def open_index(path: Path) -> h5py.File:
    """Open a packed file to read what it holds.

    Raises:
        DataError: No such file, or none that was packed.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; `dotally data pack NAME --out FILE` writes one")
    try:
        file = h5py.File(path, "r", locking=False)  # which network disks often lack
    except OSError as error:
        raise DataError(f"{path}: no packed file, or a damaged one ({error})") from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise DataError(f"{path}: not a file of `dotally data pack`, or of another version; pack it again")
    # half a copy of the file would be found out by a crash only
    arrays = [array.id for group in file.values() for array in group.values()]
    reach = max((array.get_offset() or 0) + array.get_storage_size() for array in arrays)
    if os.path.getsize(path) < reach:
        file.close()
        raise DataError(f"{path}: cut off, {os.path.getsize(path):,} of {reach:,} bytes; copy or pack it again")
    return file


def _plan(index: h5py.Dataset) -> SplitPlan:
    content = json.loads(index[:].tobytes())
    sizes = [(height, width) for height, width in content.pop("sizes")]
    return SplitPlan(sizes=sizes, **content)


def _reserve(group: h5py.Group, name: str, length: int) -> None:
    """Make room for an array at one place of the file; only the checksums are set to zero."""
    kind, item = _ARRAYS[name]
    if name == "sha256":
        group.create_dataset(name, data=np.zeros((length, *item), dtype=kind))
        return
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.CONTIGUOUS)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((length, *item))
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(np.dtype(kind)), space, made)


def _nbytes(name: str, length: int) -> int:
    kind, item = _ARRAYS[name]
    return length * int(np.prod(item, dtype=np.int64)) * np.dtype(kind).itemsize
