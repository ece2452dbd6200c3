"""Weakly supervised localization: learn a classifier from labels alone, judge by boxes where it looks."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from typing_extensions import override

from dotally.data.box_sample import BoxBatch
from dotally.errors import DataError
from dotally.metrics.localization import LabelAccuracy, label_correct
from dotally.metrics.localization_maps import MaxBoxAcc
from dotally.models import build_model
from dotally.models.preprocessing import PRESETS, preprocess
from dotally.tasks.localization_scores import Localize, MethodScores, as_maps, run_method
from dotally.tasks.loss_watch import LossWatch
from dotally.tasks.optimizers import Optimizer, Schedule, configure


class LocalizationTask(LightningModule):
    """Train a classifier from labels, then measure ways to localize with it; boxes of training pictures are not used.

    A way to localize is a callable that is given the network, its input ``[B, 3, H, W]`` float32 and the annotated
    labels ``[B]``. It returns either a map of any scale for each picture, ``[B, h, w]``, which is then resized
    bilinearly to the picture, or a box, ``[B, 4]`` (x0, y0, x1, y1) in the picture's pixels, first and last included.
    It may ask for gradients, and finds the network in evaluation mode. Ways to localize are handed in by name::

        task.methods = {"cam": cam, "stnet": stnet_boxes}
        trainer.validate(task, data)    # chooses a threshold for each that returns maps, from the validation boxes
        trainer.test(task, data)        # measures all of them

    A checkpoint rebuilds the task by itself, preprocessing included, but for methods and thresholds.

    Args:
        model: Name in ``dotally.models.list_models()``, of a classifier.
        model_kwargs: Arguments of the network.
        preprocessing: Name in ``dotally.models.preprocessing.PRESETS``; travels with the weights.
        label_smoothing: Share of the target that is spread over all classes, 0 to 1.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        lr: Learning rate; the peak where a schedule moves it.
        momentum: Of SGD.
        weight_decay: L2 penalty (SGD, Adam) or decoupled decay (AdamW).
        schedule: How the learning rate moves over the whole training; None keeps it.
        pointing_tolerance: Of the pointing game, in pixels of the picture as the network sees it.

    Attributes:
        methods: Ways to localize, by the names their figures are logged under.
        thresholds: For each method that returns maps, the share of a map's maximum above which cells belong to the
            object. ``trainer.validate`` chooses those that are best at an IoU of 0.5, for the largest group of cells.
    """

    def __init__(
        self,
        model: str = "shapes_net",
        model_kwargs: dict[str, Any] | None = None,
        *,
        preprocessing: str = "imagenet",
        label_smoothing: float = 0.0,
        optimizer: Optimizer = "adamw",
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        schedule: Schedule | None = None,
        pointing_tolerance: float = 15.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if preprocessing not in PRESETS:
            raise ValueError(f"unknown preprocessing {preprocessing!r}; there are: {', '.join(PRESETS)}")
        self.preprocessing = PRESETS[preprocessing]
        self.model = build_model(model, **(model_kwargs or {}))
        # faster for convolutions, on GPUs and CPUs alike
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
        self.methods: dict[str, Localize] = {}
        self.thresholds: dict[str, float] = {}
        self.val_accuracy, self.test_accuracy = LabelAccuracy(), LabelAccuracy()
        self._watch = LossWatch()
        self._tuning: dict[str, MaxBoxAcc] = {}
        self._scores: dict[str, MethodScores] = {}

    def prepare(self, image: Tensor) -> Tensor:
        """Turn ``[B, 3, H, W]`` uint8 RGB pictures into the network's input, float32 of the same size."""
        # filled on the device: two numbers on their way there would make the host wait
        sides = [torch.full((len(image),), side, device=image.device) for side in image.shape[2:]]
        return preprocess(image, torch.stack(sides, dim=1), self.preprocessing)

    @override
    def forward(self, image: Tensor) -> Tensor:
        """Return ``[B, C]`` class scores of ``[B, 3, H, W]`` uint8 RGB pictures."""
        return self.model(self.prepare(image).contiguous(memory_format=torch.channels_last))

    @override
    def training_step(self, batch: BoxBatch, batch_idx: int) -> Tensor:
        scores, loss = self._loss(batch, batch_idx)
        self._watch.see(loss, batch_idx, self._explain(batch, batch_idx))
        accuracy = label_correct(scores, batch["label"]).float().mean()
        figures = {"train/loss": loss, "train/accuracy": accuracy}
        self.log_dict(figures, batch_size=len(scores), on_step=False, on_epoch=True)
        return loss

    @override
    def on_train_epoch_end(self) -> None:
        self._watch.read(wait=True)

    @override
    def validation_step(self, batch: BoxBatch, batch_idx: int) -> None:
        scores, loss = self._loss(batch, batch_idx)
        self.val_accuracy.update(scores, batch["label"])
        self.log("val/loss", loss, batch_size=len(scores), on_step=False, on_epoch=True, sync_dist=True)
        if self.trainer.state.fn == TrainerFn.VALIDATING:  # in a training, labels are enough and methods are slow
            self._tune(batch)

    @override
    def on_validation_epoch_end(self) -> None:
        accuracy = self.val_accuracy.compute()
        # a checkpoint is chosen by what is smallest
        self.log_dict({"val/label_accuracy": accuracy, "val/error": 1 - accuracy})
        self.val_accuracy.reset()
        for name, metric in self._tuning.items():
            figures = metric.compute()
            self.thresholds[name] = float(figures["max_box_acc_threshold_50"])
            self.log_dict({f"val/{name}/{figure}": value for figure, value in figures.items()})
        self._tuning = {}

    @override
    def on_test_start(self) -> None:
        self._scores = {}

    @override
    def test_step(self, batch: BoxBatch, batch_idx: int) -> dict[str, Any]:
        """Measure one batch.

        Returns:
            ``name``, ``label`` and ``predicted`` of each picture, and for each method, by its name, its ``boxes``
            ``[B, 4]``, their best ``iou`` ``[B]``, and ``maps`` ``[B, H, W]`` if it returns maps.
        """
        scores = self(batch["image"])
        self._check_labels(batch, scores, batch_idx)
        self.test_accuracy.update(scores, batch["label"])
        answers = {name: self._measure(name, batch, scores) for name in self.methods}
        return {
            "name": batch["name"],
            "label": batch["label"],
            "predicted": scores.argmax(dim=1),
            **{what: {name: answer[what] for name, answer in answers.items()} for what in ("boxes", "iou")},
            "maps": {name: answer["maps"] for name, answer in answers.items() if "maps" in answer},
        }

    @override
    def on_test_epoch_end(self) -> None:
        self.log("test/label_accuracy", self.test_accuracy.compute())
        self.test_accuracy.reset()
        for name, scores in self._scores.items():
            figures = scores.compute()
            self.log_dict({f"test/{name}/{figure}": value for figure, value in figures.items()})

    @override
    def predict_step(self, batch: BoxBatch, batch_idx: int) -> Tensor:
        return self(batch["image"])

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        settings = {name: self.hparams[name] for name in ("optimizer", "lr", "momentum", "weight_decay", "schedule")}
        return configure(self.model, self.trainer, **settings)

    def _loss(self, batch: BoxBatch, batch_idx: int) -> tuple[Tensor, Tensor]:
        scores = self(batch["image"])
        self._check_labels(batch, scores, batch_idx)
        return scores, F.cross_entropy(scores, batch["label"], label_smoothing=self.hparams["label_smoothing"])

    def _tune(self, batch: BoxBatch) -> None:
        for name, method in self.methods.items():
            answer = run_method(name, method, self.model, self.prepare, batch)
            if answer.ndim == 3:
                metric = self._tuning.setdefault(name, MaxBoxAcc().to(self.device))
                metric.update(as_maps(answer, batch["image"]), batch["boxes"], batch["count"])

    def _measure(self, name: str, batch: BoxBatch, scores: Tensor) -> dict[str, Tensor]:
        if name not in self._scores:
            tolerance = self.hparams["pointing_tolerance"]
            self._scores[name] = MethodScores(scores.shape[1], tolerance=tolerance, device=self.device)
        answer = run_method(name, self.methods[name], self.model, self.prepare, batch)
        if answer.ndim == 3 and name not in self.thresholds:
            raise ValueError(
                f"the method {name!r} returns maps, which need a threshold: call trainer.validate(task, data) before "
                f"testing, or set task.thresholds[{name!r}]"
            )
        return self._scores[name].update(answer, self.thresholds.get(name, 0.0), batch, scores)

    def _check_labels(self, batch: BoxBatch, scores: Tensor, batch_idx: int) -> None:
        """Compare labels with the network's outputs; on a GPU, only at first, because looking waits for the device."""
        label = batch["label"]
        if (label.is_cuda and batch_idx) or int(label.max()) < scores.shape[1]:
            return
        raise DataError(
            f"{batch['name'][int(label.argmax())]}: its class is number {int(label.max())}, but the network has "
            f"{scores.shape[1]} outputs; build it with num_classes of the data (data.num_classes)"
        )

    def _explain(self, batch: BoxBatch, batch_idx: int) -> Callable[[str], str]:
        place = f"epoch {self.current_epoch}, batch {batch_idx} ({', '.join(batch['name'][:3])})"
        remedy = f"lower lr (now {self.hparams['lr']:g})"
        return lambda loss: f"the loss became {loss} in {place}: {remedy}"
