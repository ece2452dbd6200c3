"""Tiny copies of the localization data sets and weights in the layout they are published in."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

WNIDS = [f"n0100{number:04}" for number in range(3)]
SYNSETS = ["n01440764", "n01443537", "n02000002"]
OBJECT = (
    "<object><name>{0}</name><bndbox><xmin>{1}</xmin><ymin>{2}</ymin><xmax>{3}</xmax><ymax>{4}</ymax></bndbox></object>"
)


def tiny_imagenet_tree(folder: Path, *, train: int = 6, val: int = 6) -> Path:
    """Write ``wnids.txt``, ``words.txt`` and both folders with their lists of boxes."""
    generator = np.random.default_rng(0)
    for wnid in WNIDS:
        base = folder / "train" / wnid
        names = [f"{wnid}_{number}.JPEG" for number in range(train)]
        lines = [f"{_picture(base / 'images' / name, generator)}\t8\t9\t40\t50\n" for name in names]
        (base / f"{wnid}_boxes.txt").write_text("".join(lines))
    names = [_picture(folder / "val" / "images" / f"val_{number}.JPEG", generator) for number in range(val)]
    lines = [f"{name}\t{WNIDS[place % 3]}\t5\t6\t50\t60\n" for place, name in enumerate(names)]
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (folder / "words.txt").write_text("".join(f"{wnid}\tthing {wnid[-1]}, another name\n" for wnid in WNIDS))
    return folder


def imagenet_tree(folder: Path, *, pictures: int = 4) -> Path:
    """Write pictures and XML files as the release sorts them, two boxes in every other one, and the list of classes."""
    generator = np.random.default_rng(1)
    for number in range(pictures):
        synset, stem = SYNSETS[number % 3], f"ILSVRC2012_val_{number + 1:08}"
        _picture(folder / "images/valid" / synset / f"{stem}.JPEG", generator, (300, 260))
        boxes = [(20, 30, 200, 220), (100, 10, 290, 250)][: 1 + number % 2]
        objects = "".join(OBJECT.format(synset, *box) for box in boxes)
        size = "<size><width>300</width><height>260</height><depth>3</depth></size>"
        path = folder / "annotations/valid" / synset / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<annotation><folder>val</folder><filename>{stem}</filename>{size}{objects}</annotation>\n")
    lines = [f"{synset} {place + 1} class_{place}\n" for place, synset in enumerate(SYNSETS)]
    (folder / "annotations" / "class_labels.txt").write_text("".join(lines))
    return folder


def own_boxes_tree(folder: Path, *, pictures: int = 12) -> Path:
    """Write pictures of cats and dogs by turns, each with its VOC XML file beside it."""
    generator = np.random.default_rng(2)
    for number in range(pictures):
        _picture(folder / f"{number}.jpg", generator, (80, 60))
        objects = OBJECT.format(("cat", "dog")[number % 2], 10, 5, 50, 45)
        (folder / f"{number}.xml").write_text(f"<annotation>{objects}</annotation>\n")
    return folder


def write_weights(path: Path, network: nn.Module) -> None:
    """Write a weights file with every name and shape of a network built on "meta", in a few kilobytes.

    All entries of a tensor are windows on one short row of numbers, of which alone a file is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    row = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0)) * 0.03
    state = {name: _window(row, value) for name, value in network.state_dict().items()}
    torch.save(state, path)


def _window(row: Tensor, like: Tensor) -> Tensor:
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if like.ndim < 2:  # biases, and the scales and variances of batch norm
        return torch.ones(1).expand(like.shape)
    return row.as_strided(like.shape, [1] * like.ndim)


def _picture(path: Path, generator: np.random.Generator, size: tuple[int, int] = (64, 64)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    return path.name
