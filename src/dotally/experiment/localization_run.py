"""One localization run after its training: thresholds from validation boxes, then every method on the test boxes."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from dotally.data.localization import LocalizationDataModule
from dotally.errors import DataError
from dotally.experiment.box_sheet import BoxPanel, by_place, write_box_sheet
from dotally.experiment.folder import RunFolder
from dotally.experiment.localization import Localization
from dotally.experiment.localization_answers import Answer, recompute_answers, write_answers
from dotally.experiment.localization_methods import WITHOUT_CAPTUM
from dotally.tasks import LocalizationTask

SHOWN = 20  # pictures on the sheet
# of a method's figures; what is best on the test boxes themselves is MaxBoxAcc by its definition
SHARES = ("max_box_acc", "max_box_acc_v2", "pointing", "pointing_all")


def judge(
    run: Localization,
    task: LocalizationTask,
    data: LocalizationDataModule,
    trainer: Callable[..., pl.Trainer],
    folder: RunFolder,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Tune and measure all methods; write ``predictions.csv`` and ``pictures.png``.

    Args:
        run: The specification.
        task: With the weights that are judged.
        data: Its validation boxes tune, its test boxes judge.
        trainer: Makes a trainer of its callbacks, for one device: dealt out to several, pictures would count twice.
        folder: Of the run.

    Returns:
        The figures in percent, thresholds as shares of a map's maximum, and what else is worth knowing.

    Raises:
        DataError: If a method wants a threshold and there are no validation boxes.
    """
    check_tunable(run, data)
    if run.tuned:
        _tune(run, task, data, trainer)
    answers, figures = _measure(task, data, trainer, folder)
    facts = {
        "pictures": len(answers),
        "methods": {
            name: method.describe() if method.available else f"not judged: {WITHOUT_CAPTUM}"
            for name, method in run.methods.items()
        },
        "thresholds": {name: task.thresholds[name] for name in run.tuned},
    }
    return {**figures, **recompute_answers(answers)}, facts


def check_tunable(run: Localization, data: LocalizationDataModule) -> None:
    """Raise DataError if a method of the run wants a threshold and the data have no validation boxes."""
    if run.tuned and "val" not in data.splits():
        raise DataError(
            f"{', '.join(run.tuned)}: thresholds are tuned on validation boxes, and this data set has only a test "
            "split; put its train folder beside it, or leave these methods out"
        )


def _tune(
    run: Localization, task: LocalizationTask, data: LocalizationDataModule, trainer: Callable[..., pl.Trainer]
) -> None:
    every, task.methods = task.methods, {name: task.methods[name] for name in run.tuned}
    trainer().validate(task, data, verbose=False)
    task.methods = every


def _measure(
    task: LocalizationTask, data: LocalizationDataModule, trainer: Callable[..., pl.Trainer], folder: RunFolder
) -> tuple[list[Answer], dict[str, float]]:
    collected = Answers()
    logged = trainer(collected).test(task, data, verbose=False)[0]
    write_answers(folder.predictions, collected.rows)
    write_box_sheet(folder.path / "pictures.png", collected.panels, data.class_names())
    return collected.rows, _figures({name.removeprefix("test/"): value for name, value in logged.items()})


def _figures(logged: dict[str, float]) -> dict[str, float]:
    """Return what boxes alone do not tell."""
    kept = {name: 100 * value for name, value in logged.items() if name.rpartition("/")[2] in SHARES}
    return kept | {name: value for name, value in logged.items() if name.endswith("/threshold")}


class Answers(Callback):
    """Collect what ``LocalizationTask.test_step`` returns, in the order of the test split, a few pictures with it.

    Attributes:
        rows: One for each picture.
        panels: Of pictures spread evenly over the split, to be drawn.
    """

    def __init__(self) -> None:
        self.rows: list[Answer] = []
        self.panels: list[BoxPanel] = []
        self._shown: set[int] = set()

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]  # the stubs lack it
        self.rows, self.panels = [], []
        self._shown = set(by_place(len(data.test_set), SHOWN))

    @override
    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any, **kwargs: Any
    ) -> None:
        true = [part.tolist() for part in batch["boxes"].cpu().split(batch["count"].tolist())]
        found = {method: boxes.tolist() for method, boxes in outputs["boxes"].items()}
        for place, name in enumerate(batch["name"]):
            answer = Answer(
                name=name,
                label=int(batch["label"][place]),
                predicted=int(outputs["predicted"][place]),
                true=tuple(map(tuple, true[place])),
                found={method: tuple(boxes[place]) for method, boxes in found.items()},
            )
            if len(self.rows) in self._shown:
                self.panels.append(_panel(answer, batch["image"][place], outputs, place))
            self.rows.append(answer)


def _panel(answer: Answer, image: Tensor, outputs: Any, place: int) -> BoxPanel:
    maps = {method: found[place].float().cpu().numpy() for method, found in outputs["maps"].items()}
    iou = {method: float(found[place]) for method, found in outputs["iou"].items()}
    return BoxPanel(answer=answer, image=image.permute(1, 2, 0).cpu().numpy(), maps=maps, iou=iou)
