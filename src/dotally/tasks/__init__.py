"""The LightningModules: where networks, losses and metrics meet data."""

from dotally.tasks.counting import CountingTask

__all__ = ["CountingTask"]
