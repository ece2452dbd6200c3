"""The first table as a newcomer runs it: drawing the crowd, training, testing and reporting, start-up included.

    python experiments/synthetic_crowd.py

One seed on all cores, in an empty folder. Wall time of a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.crowd import cores
from benchmarks.registry import Case

ROOT = Path(__file__).parents[1]


def cases() -> Iterator[Case]:
    """Yield the run."""
    yield Case(
        name="synthetic_crowd",
        about="experiments/synthetic_crowd.py: its trivial rows and slim CSRNet at one seed",
        ours="dotally",
        implementations={"dotally": run},
        gate=lambda: None,  # nothing beside it to compare with
        repeats={"dotally": 1},
        facts={"cores": cores()},
        device="wall",
        long=True,
    )


def run() -> None:
    """Run the script.

    Raises:
        RuntimeError: It failed; the message has its last words.
    """
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "experiments" / "synthetic_crowd.py"), "--wandb", "off"],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": str(cores())},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-200:]}")
