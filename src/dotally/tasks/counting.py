"""Counting by density: regress a map of heads per cell, whose sum is the count."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from typing_extensions import override

from dotally.data.sample import CrowdBatch
from dotally.losses import get_loss
from dotally.metrics import GAME, CountingError, DensityPSNR, DensitySSIM
from dotally.models import build_model
from dotally.models.density_map import predict_density
from dotally.models.preprocessing import PRESETS, fitted_size
from dotally.models.pretrained import load_imagenet_frontend
from dotally.tasks.loss_watch import LossWatch
from dotally.tasks.optimizers import Optimizer, Schedule, configure


class CountingTask(LightningModule):
    """Train a network to predict density maps (Li et al., CSRNet, CVPR 2018, section 3.2) and count with it.

    A checkpoint rebuilds the task by itself, preprocessing included. Truth is the number of annotated heads.

    Args:
        model: Name in ``dotally.models.list_models()``.
        model_kwargs: Arguments of the network.
        density_scale: The network computes this many times the density; undone in ``forward`` and nowhere else. Heads
            per cell are small numbers, and optimizers that take steps of a fixed size, such as Adam, want large ones.
        preprocessing: Name in ``dotally.models.preprocessing.PRESETS``; travels with the weights.
        imagenet: ``"imagenet"`` (PyTorch's published file, hash checked) or a path: weights of the layers that the
            network shares with VGG-16 or ResNet-50.
        loss: Name in ``dotally.losses.LOSSES``.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        lr: Learning rate; the peak where a schedule moves it.
        momentum: Of SGD.
        weight_decay: L2 penalty (SGD, Adam) or decoupled decay (AdamW).
        schedule: How the learning rate moves over the whole training; None keeps it.
        freeze_batch_norm: Share of the epochs, 0 to 1, after which batch norm keeps its statistics, averaged over the
            epoch before. Crowds make the statistics of a batch swing, and a network that learnt with those counts
            some too many or too few everywhere with averaged ones: the last epochs mend that. None never freezes.
        map_quality: Whether testing also measures PSNR and SSIM of the maps, which is slow.

    Attributes:
        stride: Input pixels per cell of the predicted map.
        densest: Largest number of heads per megapixel met in training; 0 before any.
    """

    densest: Tensor

    def __init__(
        self,
        model: str = "csrnet",
        model_kwargs: dict[str, Any] | None = None,
        *,
        density_scale: float = 1.0,
        preprocessing: str = "imagenet",
        imagenet: str | None = None,
        loss: str = "sum_of_squares",
        optimizer: Optimizer = "sgd",
        lr: float = 1e-6,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        schedule: Schedule | None = None,
        freeze_batch_norm: float | None = None,
        map_quality: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if preprocessing not in PRESETS:
            raise ValueError(f"unknown preprocessing {preprocessing!r}; there are: {', '.join(PRESETS)}")
        if freeze_batch_norm is not None and not 0 <= freeze_batch_norm <= 1:
            raise ValueError(f"freeze_batch_norm must lie within 0 and 1, got {freeze_batch_norm}")
        self.preprocessing = PRESETS[preprocessing]
        self.model = build_model(model, **(model_kwargs or {}))
        # faster for convolutions, on GPUs and CPUs alike
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
        self.stride = int(cast(int, self.model.stride))
        self.loss = get_loss(loss)
        self.register_buffer("densest", torch.zeros(()))
        # DDP would overwrite it with that of process 0 at every step
        self._ddp_params_and_buffers_to_ignore = ["densest"]
        self.val_metrics, self.test_metrics = CountingError(), CountingError()
        self.test_game = torch.nn.ModuleList(GAME(level) for level in range(4))
        self.test_quality = torch.nn.ModuleList([DensityPSNR(), DensitySSIM()] if map_quality else [])
        self._watch = LossWatch()

    @override
    def setup(self, stage: str) -> None:
        """Load ImageNet weights where a training begins; a checkpoint to resume from is restored after this."""
        if stage == "fit" and self.hparams["imagenet"] is not None:
            load_imagenet_frontend(self.model, self.hparams["imagenet"])

    @override
    def forward(self, image: Tensor, size: Tensor) -> Tensor:
        """Predict heads per cell, see :func:`dotally.models.density_map.predict_density`."""
        return predict_density(self.model, image, size, self.preprocessing, scale=self.hparams["density_scale"])

    @override
    def on_train_epoch_start(self) -> None:
        share, epochs = self.hparams["freeze_batch_norm"], self.trainer.max_epochs
        if share is None or epochs is None or epochs < 0:  # trained until stopped
            return
        left = math.ceil(share * epochs) - self.current_epoch  # epochs until the first frozen one
        for module in self.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and left <= 0:
                module.eval()
            elif isinstance(module, torch.nn.BatchNorm2d) and left == 1:
                module.reset_running_stats()
                module.momentum = None  # all batches of the epoch weigh the same

    @override
    def training_step(self, batch: CrowdBatch, batch_idx: int) -> Tensor:
        density = self(batch["image"], batch["size"])
        loss = self.loss(density, batch["density"], batch["mask"])
        self._watch.see(loss, batch_idx, self._explain(batch, batch_idx))
        self._note_density(batch)
        self.log("train/loss", loss, batch_size=len(density), on_step=False, on_epoch=True, sync_dist=True)
        return loss

    @override
    def on_train_epoch_end(self) -> None:
        self._watch.read(wait=True)
        self._share_densest()

    @override
    def on_validation_epoch_start(self) -> None:
        self._share_densest()  # checkpoints are written when validation ends

    @override
    def validation_step(self, batch: CrowdBatch, batch_idx: int) -> None:
        self.val_metrics.update(self.count(batch), batch["count"])

    @override
    def on_validation_epoch_end(self) -> None:
        self.log_dict({f"val/{name}": value for name, value in self.val_metrics.compute().items()})
        self.val_metrics.reset()

    @override
    def test_step(self, batch: CrowdBatch, batch_idx: int) -> dict[str, Any]:
        density = _counted(self(batch["image"], batch["size"]), batch)
        predicted = _sum(density)
        self.test_metrics.update(predicted, batch["count"])
        self._compare_maps(density, batch)
        return {"name": batch["name"], "true": batch["count"], "predicted": predicted}

    @override
    def on_test_epoch_end(self) -> None:
        results = dict(self.test_metrics.compute())
        results |= {f"game{metric.level}": metric.compute() for metric in self._game() if metric.update_called}
        for metric in self._quality():
            results |= metric.compute() if metric.update_called else {}
        self.log_dict({f"test/{name}": value for name, value in results.items()})
        for used in (self.test_metrics, *self._game(), *self._quality()):
            used.reset()

    @override
    def predict_step(self, batch: CrowdBatch, batch_idx: int) -> Tensor:
        return self.count(batch)

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = {name: self.hparams[name] for name in ("optimizer", "lr", "momentum", "weight_decay", "schedule")}
        return configure(self.model, self.trainer, **settings)

    def count(self, batch: CrowdBatch) -> Tensor:
        """Return ``[B]`` predicted heads, padding left out."""
        return _sum(_counted(self(batch["image"], batch["size"]), batch))

    def _compare_maps(self, density: Tensor, batch: CrowdBatch) -> None:
        """Update the metrics that look at places."""
        size, points = batch["size"], batch["points"]
        if self.preprocessing.multiple > 1:  # the network saw the pictures resized
            size = fitted_size(batch["size"], self.preprocessing)
            growth = (size / batch["size"]).flip(1)  # [B, 2] (x, y)
            points = points * growth.repeat_interleave(batch["count"], dim=0)
        for game in self._game():
            game.update(density, points, batch["count"], size, self.stride)
        if density.shape == batch["density"].shape:
            for quality in self._quality():
                quality.update(density, batch["density"], batch["size"], self.stride)

    def _game(self) -> list[GAME]:
        return cast(list[GAME], list(self.test_game))

    def _quality(self) -> list[DensityPSNR | DensitySSIM]:
        return cast(list[DensityPSNR | DensitySSIM], list(self.test_quality))

    def _explain(self, batch: CrowdBatch, batch_idx: int) -> Callable[[str], str]:
        place = f"epoch {self.current_epoch}, batch {batch_idx} ({', '.join(batch['name'][:3])})"
        remedy = f"lower lr (now {self.hparams['lr']:g}) or load ImageNet weights"
        return lambda loss: f"the loss became {loss} in {place}: {remedy}"

    def _note_density(self, batch: CrowdBatch) -> None:
        """Remember the densest picture, so that counting can flag what lies beyond it."""
        megapixels = batch["size"].prod(dim=1) / 1e6
        self.densest = torch.maximum(self.densest, (batch["count"] / megapixels).max())

    def _share_densest(self) -> None:
        """Let every process know the densest picture of all; not at each step, which would wait for the slowest."""
        self.densest.copy_(cast(Tensor, self.all_gather(self.densest)).max())


def _counted(density: Tensor, batch: CrowdBatch) -> Tensor:
    """Empty the cells that do not count: padding, and what lies outside a region."""
    # a preprocessing that resizes pictures leaves no padding, and a map that no mask fits
    return density * batch["mask"] if density.shape == batch["mask"].shape else density


def _sum(density: Tensor) -> Tensor:
    return density.double().sum(dim=(1, 2, 3))
