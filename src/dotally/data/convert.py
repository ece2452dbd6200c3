"""Writing density maps as the ``.h5`` files that the published CSRNet code reads; dotally itself needs none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import torch

from dotally.data.official_target import official_density
from dotally.data.pictures import picture_size
from dotally.data.progress import progress
from dotally.data.shanghaitech_files import PartFolder, Split, find_parts, read_points
from dotally.errors import DataError
from dotally.files import atomic_path
from dotally.ops import adaptive_sigma, render_density

Target = Literal["exact", "official"]

_SPLITS: tuple[Split, ...] = ("train", "test")
# CSRNet (Li et al., CVPR 2018), table 2: geometry-adaptive kernels for part A, this fixed sigma for part B
_SIGMA_B = 15.0


def convert(name: str, roots: Sequence[Path], out: Path, *, target: Target = "exact") -> list[Path]:
    """Write the maps of every part of a data set that is there; see :func:`convert_csrnet_h5`.

    Raises:
        DataError: The set is not there, or is none that has a published density map.
    """
    if name != "shanghaitech":
        raise DataError(
            f"no density maps are defined for {name!r}; there are for: shanghaitech. "
            "Convert a folder of your own --to shanghaitech first, and name that as --data-root"
        )
    return [path for part in find_parts(roots) for path in convert_csrnet_h5(part, out, target=target)]


def convert_csrnet_h5(part_folder: PartFolder, out: Path, *, target: Target = "exact") -> list[Path]:
    """Write the density map of every picture of a part.

    The files are ``out/part_X/{train,test}_data/ground_truth/IMG_n.h5`` with one array ``density``, ``[H, W]``
    float32, heads per pixel. Those that exist already are kept, so that an interrupted conversion can be resumed.

    Args:
        part_folder: The part, from :func:`dotally.data.shanghaitech_files.find_part`.
        out: Where to write; the folder that holds ``part_X`` puts the maps where the published code looks for them.
        target: "exact", in which each head within the picture weighs 1, or "official", what the published code makes.

    Returns:
        The files written now.

    Raises:
        DataError: A picture or annotation is damaged, or a file is in the way that holds something else.
    """
    pairs = [(split, *pair) for split in _SPLITS for pair in part_folder.pairs(split)]
    base = out / part_folder.release.replace("X", part_folder.part)
    written = []
    for split, picture, annotation in progress(pairs, f"writing {base.name}"):
        path = base / f"{split}_data" / "ground_truth" / f"{picture.stem}.h5"
        if not _is_written(path, target):
            density = _density(part_folder, read_points(annotation), picture_size(picture), target)
            _write(path, density, target)
            written.append(path)
    return written


def _density(part_folder: PartFolder, points: np.ndarray, size: tuple[int, int], target: Target) -> torch.Tensor:
    adaptive = part_folder.part == "A"
    if target == "official":
        return official_density(points, size, "adaptive" if adaptive else _SIGMA_B)
    # as in training: heads outside the picture widen nobody's kernel
    heads = torch.from_numpy(points[((points >= 0) & (points < (size[1], size[0]))).all(axis=1)])
    return render_density(heads, adaptive_sigma(heads) if adaptive else _SIGMA_B, size)


def _write(path: Path, density: torch.Tensor, target: Target) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        # mostly zeros, and h5py unpacks them unasked
        file.create_dataset("density", data=density.float().numpy(), compression="gzip", compression_opts=1)
        file.attrs["target"] = target


def _is_written(path: Path, target: Target) -> bool:
    if not path.exists():
        return False
    try:
        with h5py.File(path) as file:
            found = file.attrs.get("target", "a map from elsewhere")
    except OSError:
        found = "no h5 file"
    if found != target:
        raise DataError(f"{path} is in the way: {found}, not {target}; remove it or choose another folder")
    return True
