"""Which item is drawn when and with which seed: the same on any number of workers, and after a resume."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.utils.data import Sampler
from typing_extensions import override

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Draw:
    """One item of one epoch.

    Attributes:
        index: Which item of the data set.
        seed: Seed of the only generator that its augmentation may draw from.
    """

    index: int
    seed: int


def derive_seed(*parts: int | str) -> int:
    """Hash ``parts`` into a seed in [0, 2**32), the range of which PyTorch's CPU generator uses every bit."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


class SeededSampler(Sampler[Draw]):
    """Yield every index once an epoch, each with a seed that depends on (seed, epoch, index) alone.

    Lightning calls :meth:`set_epoch` before every epoch, on one device as through a ``DistributedSamplerWrapper``, so
    that a resumed run draws what the uninterrupted one would have drawn.

    Args:
        length: Number of items.
        seed: Decides order and augmentations together.
    """

    def __init__(self, length: int, seed: int = 0) -> None:
        self.length, self.seed = length, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    @override
    def __iter__(self) -> Iterator[Draw]:
        order = shuffled(range(self.length), self.seed, self.epoch)
        # a list, because set_epoch must not change the draws of an epoch that is under way
        return iter([Draw(index, derive_seed(self.seed, self.epoch, index)) for index in order])


def carve(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split ``items`` into (train, val), both in their old order; val is a random ``fraction``, at least one.

    Raises:
        ValueError: If ``fraction`` is not within (0, 1) or there are fewer than two items.
    """
    if not 0 < fraction < 1 or len(items) < 2:
        raise ValueError(f"cannot carve a fraction of {fraction} out of {len(items)} items: need (0, 1) and 2 items")
    count = min(max(1, round(len(items) * fraction)), len(items) - 1)
    val = set(shuffled(range(len(items)), seed, "carve")[:count])
    return [item for i, item in enumerate(items) if i not in val], [items[i] for i in sorted(val)]


def shuffled(items: Sequence[Item], *seed: int | str) -> list[Item]:
    """Return ``items`` in an order that depends on ``seed`` alone."""
    generator = torch.Generator().manual_seed(derive_seed(*seed, "order"))
    return [items[i] for i in torch.randperm(len(items), generator=generator).tolist()]
