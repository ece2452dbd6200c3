"""Trainings that several experiments share, so that each stands in one place."""

from functools import partial

from dotally.tasks.counting import CountingTask

# CSRNet at an eighth of its width learns from scratch on a CPU: batch norm, and Adam at a rate that suits it
slim_csrnet = partial(
    CountingTask,
    model="csrnet",
    model_kwargs={"width": 0.125, "batch_norm": True},
    density_scale=10.0,
    loss="scaled_mean_square",
    optimizer="adamw",
    lr=4e-3,
    schedule="one-cycle",
)
