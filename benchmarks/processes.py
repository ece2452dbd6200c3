"""Training by two processes of one thread beside one such process, on as many pictures (DDP over gloo).

Each process takes the batch that one alone takes, as a training told to use two devices does. Processes are started
once, keep their pictures and wait between turns, so start-up is not in the time. Needs as many free cores. Two
processes that never talk show what the machine itself allows.
"""

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, cast

import torch

from benchmarks.crowd import BATCH, CROP, STEPS, cores, crowd, crowd_arguments, folder
from benchmarks.registry import Case, Skipped

ONE, TWO, APART = "one process", "two processes", "two processes that never talk"
EPOCHS = 3  # a turn; what a trainer does before the first step is no training
PATIENCE = 300.0  # seconds: one process may wait for ever for another that has failed


def cases() -> Iterator[Case | Skipped]:
    """Yield the case whose ratio is promised, where there are two cores."""
    if cores() < 2:
        yield Skipped("ddp_two_processes", "it needs two cores")
        return
    implementations: dict[str, Callable[[], object]] = {
        ONE: lambda: crew(1).train(),
        TWO: lambda: crew(2).train(),
        APART: lambda: crew(2, apart=True).train(),
    }
    yield Case(
        name="ddp_two_processes",
        about=f"slim CSRNet without batch norm, {EPOCHS} epochs of {STEPS * BATCH} crops of {CROP}x{CROP} pixels, "
        f"{BATCH} a step and process",
        ours=TWO,
        implementations=implementations,
        gate=gate,
        repeats=dict.fromkeys(implementations, 9),
        least=9,  # turns differ by a tenth and more
        facts={"pictures": EPOCHS * STEPS * BATCH, "batch": BATCH, "crop": CROP, "cores": 2},
        device="wall",
    )


class Crew:
    """Processes that train together whenever they are told to.

    Args:
        number: Of processes, which share the pictures.
        apart: Whether each trains a network of its own instead.
        doubled: Whether the batch is twice that of the others.
    """

    def __init__(self, number: int, *, apart: bool = False, doubled: bool = False) -> None:
        crowd()
        self.weights, self.said = (folder() / f"ddp{number}{apart}{doubled}.{kind}" for kind in ("pt", "txt"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "GLOO_SOCKET_IFNAME": "lo"}
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
        batch = 2 * BATCH if doubled else BATCH
        share = crowd_arguments() | {"batch_size": batch}
        world, steps = 1 if apart else number, STEPS * BATCH // (number * batch)
        arguments = [json.dumps(share), str(self.weights), *map(str, (world, EPOCHS, steps))]
        with self.said.open("w") as said:
            self.processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.ddp_worker", *arguments],
                    env=os.environ | shared | {"LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                )
                for rank in range(number)
            ]
        atexit.register(self.dismiss)
        self._hear("ready")

    def train(self) -> None:
        """Let all train for a turn, and wait for the last."""
        for process in self.processes:
            print("go", file=cast(IO[str], process.stdin), flush=True)
        self._hear("done")

    def _hear(self, word: str) -> None:
        watch = threading.Timer(PATIENCE, self._kill)
        watch.start()
        try:
            for rank, process in enumerate(self.processes):
                if cast(IO[str], process.stdout).readline().strip() != word:
                    raise RuntimeError(f"process {rank} ended: {self.said.read_text()[-200:]}")
        finally:
            watch.cancel()

    def _kill(self) -> None:
        for process in self.processes:
            process.kill()

    def dismiss(self) -> None:
        """End the processes: they read to the end of their input."""
        for process in self.processes:
            with contextlib.suppress(BrokenPipeError):
                cast(IO[str], process.stdin).close()
        try:
            for process in self.processes:
                process.wait(20)
        except subprocess.TimeoutExpired:
            self._kill()


crew = cache(Crew)


def gate() -> None:
    """Compare the weights with those of one process of twice the batch; sums over a batch come in another order."""
    crews = crew(1, doubled=True), crew(2)
    for each in crews:
        each.train()
    one, two = (torch.load(each.weights, weights_only=True) for each in crews)
    moved = max(float((one["after"][name] - one["before"][name]).abs().max()) for name in one["after"])
    assert moved > 1e-5, "nothing was trained"
    for name, value in one["after"].items():
        torch.testing.assert_close(two["after"][name], value, rtol=0, atol=max(1e-6, 1e-2 * moved))
