"""ShanghaiTech with careless annotators: count-neutral noise on the training dots, as the synthetic crowd has it."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import CrowdDataset, Points, Record
from dotally.data.pictures import picture_size
from dotally.data.sampling import derive_seed
from dotally.data.shanghaitech import ShanghaiTech
from dotally.data.shanghaitech_files import Part
from dotally.data.synthetic.noise import forget_and_repeat, jitter
from dotally.data.transforms import Augmentation


class NoisyShanghaiTech(ShanghaiTech):
    """:class:`ShanghaiTech` whose training dots are moved, forgotten and doubled; validation and test stay as they are.

    The noise belongs to a picture, as an annotator's does: every epoch sees the same. Each picture keeps its count.

    Args:
        part: "A" or "B".
        annotation_noise: Standard deviation of the training dots around their heads along each axis, in pixels of the
            picture as it lies on disk: the sets do not know how large heads are.
        annotation_swaps: Share of the training heads without a dot, from 0 to 0.5; as many others have two.
        noise_seed: Decides the noise.
        options: See :class:`ShanghaiTech`.

    Raises:
        ValueError: As :class:`ShanghaiTech`, or if the noise is out of range.
        DataError: As :class:`ShanghaiTech`.
    """

    def __init__(
        self,
        part: Part = "B",
        *,
        annotation_noise: float = 0.0,
        annotation_swaps: float = 0.0,
        noise_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(part, **options)
        if not 0 <= annotation_noise < math.inf:
            raise ValueError(f"annotation_noise must be a number of pixels, got {annotation_noise}")
        if not 0 <= annotation_swaps <= 0.5:
            raise ValueError(f"annotation_swaps must lie within 0 and 0.5, got {annotation_swaps}")
        self.annotation_noise, self.annotation_swaps = annotation_noise, annotation_swaps
        self.noise_seed = noise_seed

    @override
    def dataset(self, split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        dataset = super().dataset(split, augmentation)
        if split == "train":
            dataset.read_points = partial(
                carelessly,
                dataset.read_points,
                strength=self.annotation_noise,
                swaps=self.annotation_swaps,
                seed=self.noise_seed,
            )
        return dataset


def carelessly(
    read_points: Callable[[Record], Points], record: Record, *, strength: float, swaps: float, seed: int
) -> Points:
    """Read a picture's points as careless annotators would have left them.

    Args:
        read_points: Reads them as they are.
        record: The picture.
        strength: Standard deviation of the dots around their heads, in pixels.
        swaps: Share of the heads without a dot.
        seed: Decides the noise, together with the picture's name.

    Returns:
        ``[N, 2]`` (x, y) pixels, as many as there are; those outside the picture stay where they are.
    """
    points, size = read_points(record), picture_size(record.picture)
    within = ((points >= 0) & (points < (size[1], size[0]))).all(axis=1)
    inside = points[within]
    rng = np.random.default_rng(derive_seed(seed, record.name, "annotation noise"))
    dotted = inside[forget_and_repeat(len(inside), share=swaps, rng=rng)]
    if strength:
        # head diameters of one pixel, so that the strength is in pixels
        dotted = jitter(dotted, np.full(len(dotted), 0.5), strength=strength, size=size, rng=rng)
    return np.concatenate([dotted, points[~within]])
