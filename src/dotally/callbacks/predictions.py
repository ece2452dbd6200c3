"""The count of every test picture, collected while testing."""

from dataclasses import dataclass
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override


@dataclass(frozen=True)
class Prediction:
    """One picture: its name, the annotated heads and the predicted ones."""

    name: str
    true: int
    predicted: float


class Predictions(Callback):
    """Collect what ``CountingTask.test_step`` returns, in the order of the test split."""

    def __init__(self) -> None:
        self.rows: list[Prediction] = []

    @override
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rows = []

    @override
    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        for name, true, predicted in zip(outputs["name"], outputs["true"], outputs["predicted"], strict=True):
            self.rows.append(Prediction(name, int(true), float(predicted)))
