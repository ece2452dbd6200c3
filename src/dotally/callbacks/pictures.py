"""A few pictures beside their true and predicted maps, always the same ones, for people to look at."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override

from dotally.data.collate import collate
from dotally.data.crowd import CrowdDataModule
from dotally.data.crowd_dataset import CrowdDataset

Show = Callable[[Sequence["Panel"], int], None]
Map = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture and its maps.

    Attributes:
        name: Its file's name.
        size: (height, width) in pixels.
        image: ``[H, W, 3]`` uint8 RGB; None where the picture may not be shown to others.
        true: ``[h, w]`` heads per cell.
        predicted: Likewise; its size differs where the network saw the picture resized.
        count: Annotated heads.
        stride: Pixels per cell of the true map.
    """

    name: str
    size: tuple[int, int]
    image: NDArray[np.uint8] | None
    true: Map
    predicted: Map
    count: int
    stride: int


class Pictures(Callback):
    """Hand a fixed few pictures with their maps to whoever shows them; draws no random number and changes nothing.

    Args:
        validation: Called with validation pictures and the global step, ``times`` times in a training.
        test: Called with test pictures at the end of testing.
        number: How many pictures, from the emptiest to the fullest.
        times: How often in a training, the last epoch included.
    """

    def __init__(
        self, *, validation: Show | None = None, test: Show | None = None, number: int = 8, times: int = 6
    ) -> None:
        self.validation, self.test, self.number, self.times = validation, test, number, times

    @override
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.validation is not None and not trainer.sanity_checking and self._due(trainer):
            self._hand_on(self.validation, trainer, pl_module, _data(trainer).val_set)

    @override
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.test is not None:
            self._hand_on(self.test, trainer, pl_module, _data(trainer).test_set)

    def _due(self, trainer: Trainer) -> bool:
        """Tell whether another ``1/times`` of the epochs passed since the last validation."""
        end, now = trainer.max_epochs or 0, trainer.current_epoch + 1
        before = now - (trainer.check_val_every_n_epoch or 1)
        return end > 0 and now * self.times // end > before * self.times // end

    def _hand_on(self, show: Show, trainer: Trainer, pl_module: LightningModule, dataset: CrowdDataset) -> None:
        if trainer.is_global_zero:
            chosen = by_quantile(dataset.counts(), self.number)
            show(list(panels(pl_module, _data(trainer), dataset, chosen)), trainer.global_step)


def by_quantile(counts: Sequence[int], number: int) -> list[int]:
    """Return the places of at most ``number`` pictures spread evenly from the smallest to the largest count."""
    order = sorted(range(len(counts)), key=lambda place: (counts[place], place))
    steps = np.linspace(0, len(order) - 1, min(number, len(order))).round().astype(int)
    return [order[step] for step in steps]


@torch.no_grad()
def panels(
    task: LightningModule, data: CrowdDataModule, dataset: CrowdDataset, places: Iterable[int]
) -> Iterator[Panel]:
    """Predict whole pictures of a dataset, one by one.

    Args:
        task: Predicts maps ``[B, 1, h, w]`` from pictures and their sizes; in evaluation mode.
        data: Renders the true maps, and knows whether its pictures may leave.
        dataset: Holds the pictures.
        places: Which of them.
    """
    for place in places:
        sample = dataset.load(place)
        moved: Any = data.transfer_batch_to_device(collate([sample], data.stride), task.device, 0)
        batch = data.on_after_batch_transfer(moved, 0)
        with task.trainer.precision_plugin.forward_context():
            density = task(batch["image"], batch["size"])
        if density.shape == batch["mask"].shape:
            density = density * batch["mask"]
        yield Panel(
            name=sample.name,
            size=sample.size,
            image=sample.image.permute(1, 2, 0).numpy() if data.pictures_may_leave else None,
            true=batch["density"][0, 0].float().cpu().numpy(),
            predicted=density[0, 0].float().cpu().numpy(),
            count=len(sample.points),
            stride=data.stride,
        )


def _data(trainer: Trainer) -> CrowdDataModule:
    data = trainer.datamodule  # type: ignore[attr-defined]  # the stubs lack it
    assert isinstance(data, CrowdDataModule)
    return data
