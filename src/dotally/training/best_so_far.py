"""The smallest validation error so far, as a curve: what a sweep minimises."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override


class BestSoFar(Callback):
    """Log ``best/val_mae``, or the best of another figure, after every validation of a training.

    The last value of a curve is what Weights & Biases shows and optimises, and the last ``val/mae`` is not the MAE
    of the checkpoint that is kept. Its own "min" summary forgets what was before a resume.

    Args:
        monitor: The figure, the smaller the better.
    """

    def __init__(self, monitor: str = "val/mae") -> None:
        self.monitor, self.best = monitor, float("inf")

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        self.best = min(self.best, float(trainer.callback_metrics[self.monitor]))
        for logger in trainer.loggers:
            logger.log_metrics({f"best/{self.monitor.replace('/', '_')}": self.best}, step=trainer.global_step)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]
