"""What is known of a GPU without one: kernels compiled ahead, and operations, bytes and launches that models count."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.density import SIZE, perspective_crowd
from benchmarks.gaussian_conv import GPU as PLACE
from benchmarks.gaussian_conv import LAYERS, MAX_OFFSET, MAX_SIGMA, UNITS, unfused_work
from benchmarks.record import Record
from benchmarks.topdown import PASSES, observed
from dotally.ops import adaptive_sigma
from dotally.ops.gaussian_plan import GPU, Layer, Work, convolution_work, fused_work, seconds
from dotally.ops.gaussian_setting import Setting

ROOT = Path(__file__).parents[1]
ARCHITECTURE = 90  # H100 and H200
# assumed rates of an H200: instructions a second on float32 lanes, bytes a second from the second-level cache
LANES, CACHE = 33.5e12, 5.5e12
TILE = 32  # cells on a side of what one program of the density kernel owns
PER_PRODUCT = 100, 8  # instructions and bytes of one product of a top-down unit: 31 bisections of two, and the groups


def static(record: Record) -> None:
    """Compile one form of each kernel and take down its registers, spills, memory, issue ratio and time to compile.

    Nothing is taken down where one exceeds its budget, so a resumed run tries again.
    """
    if "static" in record.value:
        return
    # a process of its own: Triton's interpreter, where it is on, replaces the compiler
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_ALWAYS_COMPILE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "static.json"
        command = [sys.executable, "-m", "benchmarks.compile_ahead", "--arch", str(ARCHITECTURE), "--quick"]
        done = subprocess.run(
            [*command, "--out", str(out)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            record.value["static"] = json.loads(out.read_text())
            record.save()
            return
    rows = [line for line in done.stdout.splitlines() if not line.endswith(" ok")]
    lines = [f"{row.split()[1]}:{row.rpartition('}')[2]}" for row in rows]
    record.fail("static", "; ".join(lines or done.stderr.splitlines()[-1:] or ["no output"]))


def models(record: Record) -> None:
    """Take down what models count of the operators at the sizes they are measured at on a GPU."""
    record.value["models"] = [_density(500, 16), *_gaussian(), *_topdown()]
    record.save()


def _density(heads: int, pictures: int) -> dict[str, Any]:
    """Count what lies in the heads' windows, the map written once, and 20 bytes of a head for each tile it reaches."""
    side = 2 * (4.0 * adaptive_sigma(perspective_crowd(heads)) + 0.5).floor() + 1
    tiles = float((side / TILE + 1).square().sum())
    flop = 2.0 * float(side.square().sum()) * pictures
    moved = (4.0 * SIZE[0] * SIZE[1] + 20 * tiles) * pictures
    work = Work(0.0, flop, moved, calls=3)
    return _row(f"density maps, {pictures} pictures, {heads} heads", "dotally", work, seconds(work, GPU))


def _gaussian() -> Iterator[dict[str, Any]]:
    setting = Setting(MAX_OFFSET, MAX_SIGMA, "bilinear", "sum", (1, 1), (1, 1), "auto", "exact")
    for inputs, outputs in LAYERS:
        layer = Layer(PLACE.batch, inputs, outputs, UNITS, *PLACE.size)
        about = f"Gaussian convolution, {inputs} to {outputs}, {PLACE.batch} x {PLACE.size[0]} x {PLACE.size[1]}, bf16"
        works = {"dotally, bilinear": fused_work(layer, setting), "unfused bank": unfused_work(layer, setting)}
        for name, taps in (("dense 15x15", 15), ("dense 9x9", 9), ("dense 3x3", 3)):
            work = convolution_work(layer, setting, taps)
            works[name] = work._replace(vector=0.0, before=0.0, calls=1)  # its kernel is there already
        for name, work in works.items():
            yield _row(about, name, work, seconds(work, GPU))


def _topdown() -> Iterator[dict[str, Any]]:
    """Count the products of active units on the CPU: which are active is known only after a pass."""
    for name, stop, where in PASSES:
        seen = observed(name, stop, 8, "cpu", keep="all")
        gating = seen.seen.explain().gating
        products = launches = 0
        for layer, module in seen.model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and layer in gating:
                products += int(gating[layer].count_nonzero()) * module.weight[0].numel()
                launches += 5 if isinstance(module, nn.Conv2d) else 4
            elif layer in gating and "Pool" in type(module).__name__:
                launches += 4
        work = Work(0.0, 2.0 * products, float(PER_PRODUCT[1] * products), 0.0, launches)
        floor = max(PER_PRODUCT[0] * products / LANES, PER_PRODUCT[1] * products / CACHE) + launches * GPU.call
        yield _row(f"top-down pass, {name} to {where}, 8 pictures, random weights", "dotally", work, floor)


def _row(about: str, implementation: str, work: Work, floor: float) -> dict[str, Any]:
    counts = {"gflop": (work.matmul + work.vector) / 1e9, "megabytes": (work.bytes + work.before) / 1e6}
    return {
        "about": about,
        "implementation": implementation,
        **counts,
        "launches": work.calls,
        "floor_us": floor * 1e6,
    }
