"""The learning curve as a file: one line per epoch, whole at any moment."""

import csv
import io
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from typing_extensions import override

from dotally.files import write_text


class Curve(Callback):
    """Write what was logged in each epoch to a CSV file, renamed into place after every epoch.

    The lines travel in the checkpoint, so a resumed run continues the curve from where its weights are.

    Args:
        path: The CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row: dict[str, float] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        row |= {f"lr/{i}": optimizer.param_groups[0]["lr"] for i, optimizer in enumerate(trainer.optimizers)}
        row |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append(row)
        if trainer.is_global_zero and not trainer.sanity_checking:
            write_text(self.path, render(self.rows))

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


def render(rows: list[dict[str, float]]) -> str:
    """Return rows as CSV, one column per name, empty where a row lacks it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
