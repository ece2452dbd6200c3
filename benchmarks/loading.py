"""Training pictures through the whole data module, beside the published CSRNet pipeline on the same crops.

The peer is written from a description of the code released with CSRNet (2018): each picture is decoded whole, its
full-size density map read from an uncompressed ``.h5`` file, both are cut and mirrored, the map is reduced by cubic
interpolation times 64, one picture makes a batch, and no worker helps. It ends with normalized pictures; our data
module ends with bytes, which tasks normalize on the device, so ours is also measured with that done here. What workers
do is no CPU time of this process, so that case is wall time, and needs as many free cores.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from benchmarks.registry import Case, Skipped
from dotally.data.crowd import CrowdDataModule
from dotally.data.crowd_dataset import Record
from dotally.data.pack import pack
from dotally.data.packed import Packed
from dotally.data.packed_file import PackedSplit
from dotally.data.pictures import open_picture
from dotally.data.roots import data_roots
from dotally.data.sample import CrowdBatch
from dotally.data.sampling import Draw, SeededSampler
from dotally.data.shanghaitech import ShanghaiTech
from dotally.data.shanghaitech_files import find_part
from dotally.errors import DataError
from dotally.models.preprocessing import PRESETS, preprocess
from dotally.ops import render_density

PICTURES, CROP, BATCH, STRIDE, SIGMA = 48, 384, 8, 8, 15.0
_NORMAL = PRESETS["imagenet"]
PUBLISHED, OURS, OURS_PACKED = "published pipeline", "dotally", "dotally, packed"
NORMALIZED = "normalized here"


class PublishedPictures(Dataset[tuple[Tensor, Tensor]]):
    """Crops of pictures and their density maps as the published code makes them.

    Args:
        records: The pictures.
        maps: Folder of their full-size maps.
    """

    def __init__(self, records: Sequence[Record], maps: Path) -> None:
        self.records, self.maps = records, maps

    @override
    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        record = self.records[draw.index]
        image = Image.open(record.picture).convert("RGB")
        with h5py.File(self.maps / f"{record.name}.h5") as file:
            density = np.asarray(file["density"])
        # the crop that ours cuts out of this picture in this epoch
        _, down, right, flip = torch.rand(4, generator=Generator().manual_seed(draw.seed), dtype=torch.float64).tolist()
        side = min(CROP, *image.size)
        top, left = int(down * (image.height - side + 1)), int(right * (image.width - side + 1))
        image = image.crop((left, top, left + side, top + side))
        density = density[top : top + side, left : left + side]
        if flip < 0.5:
            image, density = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), np.fliplr(density)
        target = torch.from_numpy(np.ascontiguousarray(density))[None, None]
        cells = (side // STRIDE, side // STRIDE)
        target = F.interpolate(target, cells, mode="bicubic", align_corners=False)[0] * STRIDE**2
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        mean, std = (torch.tensor(values)[:, None, None] for values in (_NORMAL.mean, _NORMAL.std))
        return (pixels - mean) / std, target


class _Material:
    """A few pictures of ShanghaiTech B in a folder of their own, packed, and with their maps; gone with the process."""

    def __init__(self) -> None:
        self.kept = tempfile.TemporaryDirectory(prefix="dotally-loading-")
        self.folder = Path(self.kept.name)
        part = find_part(data_roots(), "B")
        train = round(PICTURES / 0.9)
        for split, count in (("train", train), ("test", 1)):
            for picture, annotation in part.pairs("train")[:count]:
                for place, file in (("images", picture), ("ground-truth", annotation)):
                    link = self.folder / "part_B" / f"{split}_data" / place / file.name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(file.resolve())
        pack(self.module(), self.folder / "packed.h5")
        module = self.module()
        module.setup("fit")
        self.records = module.train_set.records
        assert len(self.records) == PICTURES, f"{len(self.records)} pictures instead of {PICTURES}"
        for index, record in enumerate(self.records):
            sample = module.train_set.load(index)
            density = render_density(sample.points, SIGMA, sample.size)
            with h5py.File(self.folder / f"{record.name}.h5", "w") as file:
                file["density"] = density.numpy()

    def module(self, workers: int = 0) -> CrowdDataModule:
        return ShanghaiTech("B", data_root=self.folder, crop=CROP, batch_size=BATCH, num_workers=workers)

    def packed(self, workers: int = 0) -> CrowdDataModule:
        return Packed(self.folder / "packed.h5", crop=CROP, batch_size=BATCH, num_workers=workers)

    def published(self) -> DataLoader[tuple[Tensor, Tensor]]:
        pictures = PublishedPictures(self.records, self.folder)
        return DataLoader(pictures, batch_size=1, sampler=SeededSampler(PICTURES))


_material = cache(_Material)


def cases() -> Iterator[Case | Skipped]:
    """Yield one core, two workers and random access, where ShanghaiTech B is at hand."""
    try:
        find_part(data_roots(), "B")
    except DataError as error:
        reason = str(error).splitlines()[0]
        yield from (Skipped(name, reason) for name in ("loading_cpu", "loading_workers", "packed_access_cpu"))
        return
    yield _one_core()
    yield two_workers()
    yield _random_access()


def _one_core() -> Case:
    implementations = {
        PUBLISHED: _published(),
        OURS: _ours(lambda: _material().module()),
        f"{OURS}, {NORMALIZED}": _ours(lambda: _material().module(), normalized=True),
        OURS_PACKED: _ours(lambda: _material().packed()),
        f"{OURS_PACKED}, {NORMALIZED}": _ours(lambda: _material().packed(), normalized=True),
    }
    return _case("loading_cpu", "one core", "cpu", OURS_PACKED, implementations)


def two_workers() -> Case:
    """Return the case whose ratio is promised."""
    implementations = {
        PUBLISHED: _published(),
        f"{OURS}, 2 workers": _ours(lambda: _material().module(workers=2)),
        f"{OURS_PACKED}, 2 workers": _ours(lambda: _material().packed(workers=2)),
        f"{OURS_PACKED}, 2 workers, {NORMALIZED}": _ours(lambda: _material().packed(workers=2), normalized=True),
    }
    about = "wall time; 2 workers, the published pipeline none"
    return _case("loading_workers", about, "wall", f"{OURS_PACKED}, 2 workers", implementations)


def _case(name: str, about: str, device: str, ours: str, implementations: dict[str, Callable[[], object]]) -> Case:
    return Case(
        name=name,
        about=f"{PICTURES} training crops of {CROP}x{CROP} pixels out of 768x1024, {about}",
        ours=ours,
        implementations=implementations,
        gate=gate,
        repeats=dict.fromkeys(implementations, 40),  # turns are short, and what disturbs one is as long
        facts={"pictures": PICTURES, "crop": CROP, "batch": BATCH, "published_batch": 1},
        device=device,
    )


def _published() -> Callable[[], object]:
    return lambda: [len(image) for image, _ in _material().published()]


def _ours(make: Callable[[], CrowdDataModule], *, normalized: bool = False) -> Callable[[], object]:
    """Return what runs an epoch; its loader, and so its workers, are made once, as in training."""

    @cache
    def loading() -> tuple[CrowdDataModule, DataLoader[Any]]:
        module = make()
        module.setup("fit")
        return module, module.train_dataloader()

    def run() -> object:
        for batch in _batches(*loading()):
            if normalized:
                preprocess(batch["image"], batch["size"], _NORMAL)
        return None

    return run


def _batches(module: CrowdDataModule, loader: DataLoader[Any]) -> Iterator[CrowdBatch]:
    return (module.on_after_batch_transfer(batch, 0) for batch in loader)


@cache
def gate() -> None:
    """Compare the pictures of all three exactly, and the sums of their densities with what borders may cost."""
    theirs = [(image[0], target[0].sum()) for image, target in _material().published()]
    for module in (_material().module(), _material().packed()):
        module.setup("fit")
        ours = [
            (image, density.sum())
            for batch in _batches(module, module.train_dataloader())
            for image, density in zip(preprocess(batch["image"], batch["size"], _NORMAL), batch["density"], strict=True)
        ]
        assert len(ours) == len(theirs) == PICTURES
        for (image, total), (published, published_total) in zip(ours, theirs, strict=True):
            torch.testing.assert_close(image, published, atol=1e-5, rtol=0)
            # mass of heads beside the border comes and goes with the rule for borders
            assert abs(total - published_total) < 0.25 * published_total + 5, (
                f"{total} heads, published {published_total}"
            )


def _random_access() -> Case:
    side, reads = 256, 64

    @cache
    def place() -> tuple[PackedSplit, list[tuple[int, int, int]]]:
        packed = PackedSplit(_material().folder / "packed.h5", "train")
        rng = np.random.default_rng(0)
        sizes = packed.plan.sizes
        chosen = rng.integers(0, len(packed), reads)
        return packed, [
            (int(i), int(rng.integers(sizes[i][0] - side)), int(rng.integers(sizes[i][1] - side))) for i in chosen
        ]

    def mapped() -> list[Tensor]:
        packed, windows = place()
        return [packed.sample(i).image[:, y : y + side, x : x + side].clone() for i, y, x in windows]

    def decoded() -> list[Tensor]:
        _, windows = place()
        files = [record.picture for record in _material().records]
        cut = (open_picture(files[i]).image[y : y + side, x : x + side] for i, y, x in windows)
        return [torch.from_numpy(one).permute(2, 0, 1).contiguous() for one in cut]

    def by_h5py() -> list[Tensor]:
        packed, windows = place()
        found = []
        with h5py.File(packed.path, "r") as file:
            pixels = file["train/pixels"]
            for i, y, x in windows:
                whole = pixels[packed.pixel_ends[i] : packed.pixel_ends[i + 1]].reshape(3, *packed.plan.sizes[i])
                found.append(torch.from_numpy(whole[:, y : y + side, x : x + side].copy()))
        return found

    def check() -> None:
        for ours, theirs, others in zip(mapped(), decoded(), by_h5py(), strict=True):
            assert torch.equal(ours, theirs), "the packed file holds other pixels"
            assert torch.equal(ours, others), "the packed file holds other pixels"

    return Case(
        name="packed_access_cpu",
        about=f"{reads} crops of {side}x{side} pixels anywhere in {PICTURES} pictures, the file in memory",
        ours=OURS_PACKED,
        implementations={OURS_PACKED: mapped, "whole picture by h5py": by_h5py, "decode the JPEG": decoded},
        gate=check,
        repeats={OURS_PACKED: 10, "whole picture by h5py": 5, "decode the JPEG": 3},
        facts={"pictures": reads, "crop": side},
    )
