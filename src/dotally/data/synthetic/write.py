"""The synthetic crowd as files, in the layout of ShanghaiTech, so that the code which reads that reads this."""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from scipy.io import savemat

from dotally.data.progress import progress
from dotally.data.synthetic.camera import Floats
from dotally.data.synthetic.dial import DIALS, SPLITS, Difficulty, Split
from dotally.data.synthetic.heads import Heads
from dotally.data.synthetic.noise import forget_and_repeat, jitter
from dotally.data.synthetic.scene import JPEG, NOISE, SIZE, Scene, plan_scene, render
from dotally.errors import DataError
from dotally.files import write_json

# raised whenever a spec comes to stand for other points, or for pictures that look different
GENERATOR = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class SyntheticSpec:
    """What a synthetic crowd is made of. Equal specs are equal data sets.

    Attributes:
        seed: Seed of everything.
        train: Training pictures, taken in turn from 24 cameras.
        val: Validation pictures, from 6 other cameras.
        test: Test pictures, from 12 others again.
        difficulty: How small, crowded, cluttered and unevenly lit.
        annotation_noise: Standard deviation of the training dots around their heads, in head diameters.
        annotation_swaps: Share of the training heads without a dot, from 0 to 0.5; as many others have two.

    Raises:
        ValueError: If a value is unknown or out of range.
    """

    seed: int = 0
    train: int = 160
    val: int = 40
    test: int = 120
    difficulty: Difficulty = "default"
    annotation_noise: float = 0.0
    annotation_swaps: float = 0.0

    def __post_init__(self) -> None:
        if self.difficulty not in DIALS:
            raise ValueError(f"difficulty must be one of {', '.join(DIALS)}, got {self.difficulty!r}")
        for name, least in {"seed": 0, "train": 1, "val": 1, "test": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0.0 <= self.annotation_noise < math.inf:
            raise ValueError(f"annotation_noise must be a number of head diameters, got {self.annotation_noise}")
        if not 0.0 <= self.annotation_swaps <= 0.5:
            raise ValueError(f"annotation_swaps must lie within 0 and 0.5, got {self.annotation_swaps}")

    @property
    def folder_name(self) -> str:
        """A name for a folder that differs whenever the files do."""
        digest = hashlib.sha256(json.dumps(self.record()).encode()).hexdigest()
        return f"synthetic_crowd-{digest[:8]}"

    def record(self) -> dict[str, Any]:
        """Return the spec as the manifest keeps it."""
        noise = {name: float(getattr(self, name)) for name in ("annotation_noise", "annotation_swaps")}
        return {"generator": GENERATOR, **asdict(self), **noise}

    def scenes(self) -> Iterator[Scene]:
        """Plan the pictures: train, then val, then test."""
        for split in SPLITS:
            for index in range(getattr(self, split)):
                yield plan_scene(split, index, seed=self.seed, difficulty=self.difficulty)


class PictureEntry(TypedDict):
    """One picture in the manifest; ``points_sha256`` is of its labels as little-endian float64."""

    split: Split
    folder: str
    name: str
    camera: int
    count: int
    points_sha256: str


class Manifest(TypedDict):
    """What ``manifest.json`` holds. It is written last: a folder that has one is complete."""

    spec: dict[str, Any]
    pictures: list[PictureEntry]


def write_synthetic_crowd(folder: Path, spec: SyntheticSpec) -> Manifest:
    """Render the data set that ``spec`` describes into ``folder``, unless it is there already.

    Written are ``part_A/{train_data,test_data}/{images/IMG_n.jpg,ground-truth/GT_IMG_n.mat}`` as in ShanghaiTech,
    the validation pictures last in ``train_data``; ``heads.npz`` with what no real set knows, the true points and
    radii in pixels and the places in metres of all labelled heads; and ``manifest.json``.

    Args:
        folder: Where to; it appears when all is written, and not before.
        spec: What to render.

    Returns:
        The manifest.

    Raises:
        DataError: If ``folder`` holds anything else.
    """
    if _vacant(folder):
        with _complete_or_absent(folder) as temporary:
            _write(temporary, spec)
    return read_manifest(folder, spec)


def read_manifest(folder: Path, spec: SyntheticSpec) -> Manifest:
    """Read the manifest of the data set in ``folder``.

    Raises:
        DataError: If there is none, or the data set is not the one that ``spec`` describes.
    """
    try:
        manifest: Manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        found = manifest["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no synthetic crowd ({error!r}); name a folder that does not exist") from error
    if found != spec.record():
        raise DataError(f"{folder} holds another synthetic crowd, {found}, not {spec.record()}; name another folder")
    return manifest


def annotate(scene: Scene, spec: SyntheticSpec) -> Floats:
    """Return the labels ``[N, 2]`` of a picture, with the annotation noise if it is a training picture."""
    heads = scene.heads.labelled
    if scene.split != "train":
        return heads.points
    rng = scene.stream(NOISE)
    dotted = heads.pick(forget_and_repeat(len(heads), share=spec.annotation_swaps, rng=rng))
    return jitter(dotted.points, dotted.radius, strength=spec.annotation_noise, size=SIZE, rng=rng)


@contextmanager
def _complete_or_absent(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` on success and goes away on failure."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        # a folder inside it: the outer one is private to its user
        temporary = Path(parent) / folder.name
        temporary.mkdir()
        yield temporary
        if _vacant(folder):  # or somebody else has been faster
            temporary.rename(folder)


def _vacant(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _write(folder: Path, spec: SyntheticSpec) -> None:
    entries, heads = [], []
    for scene in progress(spec.scenes(), "rendering a crowd", total=spec.train + spec.val + spec.test):
        entries.append(_write_picture(folder, scene, spec))
        heads.append(scene.heads.labelled)
    _write_heads(folder / "heads.npz", heads)
    write_json(folder / MANIFEST, Manifest(spec=spec.record(), pictures=entries))


def _write_picture(folder: Path, scene: Scene, spec: SyntheticSpec) -> PictureEntry:
    number = scene.index + 1 + (spec.train if scene.split == "val" else 0)
    part = Path("part_A") / ("test_data" if scene.split == "test" else "train_data")
    for kind in ("images", "ground-truth"):
        (folder / part / kind).mkdir(parents=True, exist_ok=True)
    picture = folder / part / "images" / f"IMG_{number}.jpg"
    render(scene).save(picture, quality=int(scene.stream(JPEG).integers(70, 96)))
    points = annotate(scene, spec)
    _write_points(folder / part / "ground-truth" / f"GT_IMG_{number}.mat", points)
    return PictureEntry(
        split=scene.split,
        folder=part.as_posix(),
        name=picture.name,
        camera=scene.camera_number,
        count=len(points),
        points_sha256=hashlib.sha256(points.astype("<f8").tobytes()).hexdigest(),
    )


def _write_points(path: Path, points: Floats) -> None:
    """Write points as ShanghaiTech has them: a cell that holds a struct with the fields location and number."""
    info = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    info[0, 0] = (points, np.array([[len(points)]], dtype=np.uint16))
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = info
    savemat(path, {"image_info": cell}, do_compression=True)


def _write_heads(path: Path, pictures: list[Heads]) -> None:
    np.savez_compressed(
        path,
        picture=np.repeat(np.arange(len(pictures)), [len(heads) for heads in pictures]),
        points=np.concatenate([heads.points for heads in pictures]),
        radius=np.concatenate([heads.radius for heads in pictures]),
        ground=np.concatenate([heads.ground for heads in pictures]),
    )
