"""Fabricates what tests read: tiny data sets and weights files in their real layouts and formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat
from torch import nn


def shanghaitech_tree(
    folder: Path,
    release: Literal["part_A", "final"] = "part_A",
    parts: Sequence[Literal["A", "B"]] = ("A", "B"),
    train: int = 4,
    test: int = 3,
    size: tuple[int, int] = (96, 128),
) -> Path:
    """Write ``folder/part_A`` and so on, with 5 to 20 heads a picture drawn as dark squares.

    Both releases hold the same pictures and points, but "final" (``part_A_final``, ``ground_truth``) has
    one more point in IMG_1 of each split, which lies outside the picture, as the real one has 618 of them.
    Train picture IMG_2 of part A is greyscale. ``size`` is (height, width) of every picture.
    Returns ``folder``.
    """
    for part in parts:
        for split, pictures in (("train", train), ("test", test)):
            base = folder / (f"part_{part}_final" if release == "final" else f"part_{part}") / f"{split}_data"
            images, truth = base / "images", base / ("ground_truth" if release == "final" else "ground-truth")
            images.mkdir(parents=True)
            truth.mkdir()
            for number in range(1, pictures + 1):
                generator = np.random.default_rng([ord(part), len(split), number])
                points = _points(generator, size)
                grey = part == "A" and split == "train" and number == 2
                _picture(generator, points, size, grey=grey).save(images / f"IMG_{number}.jpg", quality=95)
                if release == "final" and number == 1:
                    points = np.concatenate([points, [[-5.25, 10.5]]])
                write_points(truth / f"GT_IMG_{number}.mat", points)
    return folder


def write_points(path: Path, points: np.ndarray) -> None:
    """Write a mat file as the authors did: a cell that holds a struct of ``location`` and ``number``, compressed."""
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = {"location": points, "number": float(len(points))}
    savemat(path, {"image_info": cell}, do_compression=True)
    with path.open("r+b") as file:  # the header holds the second, and equal contents are to be equal files
        file.write(b"MATLAB 5.0 MAT-file".ljust(116))


def write_mcnn_h5(path: Path, model: nn.Module) -> None:
    """Write an MCNN's weights in the layout of crowdcount-mcnn's files: one array a parameter, dots in its name."""
    published = {"0": "0", "3": "2", "6": "4", "8": "5"}
    with h5py.File(path, "w") as file:
        for name, value in model.state_dict().items():
            column, layer, kind = name.split(".")
            file[f"DME.{column}.{published[layer]}.conv.{kind}"] = value.numpy()


def _points(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    return generator.uniform(0.01, 0.99, (generator.integers(5, 21), 2)) * (width, height)


def _picture(generator: np.random.Generator, points: np.ndarray, size: tuple[int, int], *, grey: bool) -> Image.Image:
    pixels = generator.integers(150, 256, (*size, 3), dtype=np.uint8)
    for x, y in points.astype(int):
        pixels[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 30
    picture = Image.fromarray(pixels)
    return picture.convert("L") if grey else picture
