"""The LightningModules: where networks, losses and metrics meet data."""

from dotally.tasks.counting import CountingTask
from dotally.tasks.localization import LocalizationTask

__all__ = ["CountingTask", "LocalizationTask"]
