"""A sign of life."""

import time
from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override


class Heartbeat(Callback):
    """Call a function at most once every so many seconds, while batches are being worked on.

    Args:
        beat: What to call.
        every: Seconds.
    """

    def __init__(self, beat: Callable[[], None], every: float) -> None:
        self.beat, self.every = beat, every
        self.last = time.monotonic()

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._maybe()

    @override
    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        self._maybe()

    @override
    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        self._maybe()

    def _maybe(self) -> None:
        if time.monotonic() - self.last > self.every:
            self.last = time.monotonic()
            self.beat()
