"""Choices made otherwise: other pictures, networks and sums to count with, and other heads to hold counts against."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import nn

from dotally.data.crowd_dataset import Record
from dotally.data.official_target import official_density, official_target
from dotally.data.pictures import open_picture
from dotally.data.roots import data_roots
from dotally.data.sample import CrowdBatch, CrowdSample
from dotally.data.shanghaitech_files import LEAKS, Part
from dotally.data.transforms import crop, resize
from dotally.errors import DataError
from dotally.models.preprocessing import PRESETS, fitted_size
from dotally.ops import adaptive_sigma, render_density
from dotally.tasks import CountingTask

OLDER = "final_release_out_of_image_points_test.txt"

Count = Callable[[CountingTask, CrowdBatch], float]


def counted(task: CountingTask, batch: CrowdBatch) -> float:
    """Count the one picture of a batch as every result of ours does."""
    return float(task.count(batch))


def in_float32(task: CountingTask, batch: CrowdBatch) -> float:
    """Sum the map in the precision it is computed in."""
    return float((task(batch["image"], batch["size"]) * batch["mask"]).sum())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Another count of a picture: of another picture, by another network, or with another sum.

    ``usual`` tells which pictures this does not touch, whose counts are taken as they are.
    """

    group: str
    what: str
    picture: Callable[[Record, CrowdSample], CrowdSample] = lambda record, sample: sample
    task: Callable[[CountingTask], CountingTask] = lambda task: task
    count: Count = counted
    usual: Callable[[CrowdSample], bool] = lambda sample: False
    mean: bool = False  # of this count and the usual one


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Other heads to hold the same counts against; None leaves a picture out."""

    group: str
    what: str
    heads: Callable[[Record, CrowdSample], float | None]


def to_multiples(multiple: int) -> Answer:
    """Resize sides down to multiples of something else than 4."""
    preset = replace(PRESETS["mcnn"], multiple=multiple)

    def other(task: CountingTask) -> CountingTask:
        changed = deepcopy(task)
        changed.preprocessing = preset
        return changed

    def alike(sample: CrowdSample) -> bool:
        size = torch.tensor([sample.size])
        return torch.equal(fitted_size(size, preset), fitted_size(size, PRESETS["mcnn"]))

    what = f"sides resized to multiples of {multiple}, not 4"
    return Answer(group="resize rule", what=what, task=other, usual=alike)


def shrunk(side: int) -> Answer:
    """Shrink pictures as ``longest_side`` does."""

    def smaller(record: Record, sample: CrowdSample) -> CrowdSample:
        factor = side / max(sample.size)
        return resize(sample, (round(sample.size[0] * factor), round(sample.size[1] * factor)))

    what = f"longest side at most {side} pixels"
    return Answer(group="resize rule", what=what, picture=smaller, usual=lambda sample: max(sample.size) <= side)


def cut(record: Record, sample: CrowdSample) -> CrowdSample:
    """Cut sides to multiples of 4."""
    height, width = (side // 4 * 4 for side in sample.size)
    return crop(sample, 0, 0, height, width)


def showing(sample: CrowdSample, image: Image.Image) -> CrowdSample:
    """Return a sample with another picture of its size, which alone is counted."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    return replace(sample, image=pixels)


def decoded(mode: str, record: Record, sample: CrowdSample) -> CrowdSample:
    """Let the JPEG decoder itself turn a picture grey ("L") or shrink it ("RGB")."""
    with Image.open(record.picture) as image:
        image.draft(mode, (sample.size[1], sample.size[0]))
        return showing(sample, image.resize((sample.size[1], sample.size[0]), Image.Resampling.BILINEAR))


def unsmoothed(record: Record, sample: CrowdSample) -> CrowdSample:
    """Shrink a picture by sampling it, as OpenCV does."""
    whole = torch.from_numpy(open_picture(record.picture).image).permute(2, 0, 1)
    return replace(sample, image=resize(replace(sample, image=whole), sample.size, antialias=False).image)


def whole(record: Record, sample: CrowdSample) -> CrowdSample:
    """Return a picture as large as it is on disk."""
    return replace(sample, image=torch.from_numpy(open_picture(record.picture).image).permute(2, 0, 1))


def grey(record: Record, sample: CrowdSample) -> CrowdSample:
    """Return a picture without its colours."""
    return showing(sample, Image.fromarray(sample.image.permute(1, 2, 0).numpy()).convert("L"))


def encoded_again(quality: int, record: Record, sample: CrowdSample) -> CrowdSample:
    """Return a picture as JPEG keeps it."""
    file = io.BytesIO()
    Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return showing(sample, Image.open(file))


def batch_statistics(task: CountingTask) -> CountingTask:
    """Let batch norm use each picture's own mean and variance."""
    changed = deepcopy(task)
    for module in changed.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train().momentum = 0.0
    return changed


@cache
def older_heads(part: Part) -> Counter[str]:
    """Return how many more heads the older release has in each test picture."""
    found = [path for root in data_roots(None) for path in (root / OLDER, *root.glob(f"*/{OLDER}")) if path.is_file()]
    if not found:
        raise DataError(f"no {OLDER} below the data roots: the older release cannot be measured")
    with found[0].open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == part and row["split"] == "test"]
    return Counter(f"IMG_{row['index']}.jpg" for row in rows)


def of_older(part: Part, record: Record, sample: CrowdSample) -> float:
    """Count the heads outside the picture too."""
    return len(sample.points) + older_heads(part)[record.name]


def once_a_pixel(record: Record, sample: CrowdSample) -> float:
    """Count heads in one pixel once."""
    return len(np.unique(sample.points.floor().numpy(), axis=0))


def twinless(record: Record, sample: CrowdSample) -> float | None:
    """Leave out test pictures whose scene is in train as well."""
    return None if record.name in {f"IMG_{number}.jpg" for number in LEAKS.values()} else float(len(sample.points))


def mass(sigma: float | None, record: Record, sample: CrowdSample) -> float:
    """Sum a map that loses what lies outside the picture; no sigma is the adaptive one."""
    widths = adaptive_sigma(sample.points) if sigma is None else torch.full((len(sample.points),), sigma)
    return float(render_density(sample.points, widths, sample.size, border="lose").double().sum())


def published_target(record: Record, sample: CrowdSample) -> float:
    """Sum the target of the published CSRNet code at its stride."""
    return float(official_target(official_density(sample.points.double().numpy(), sample.size, "adaptive")).sum())
