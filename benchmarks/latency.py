"""How long one picture takes: a call of a loaded counter, and the whole ``dotally predict`` command.

The counter is held against decoding, normalizing and summing by hand; the command against a script that imports
PyTorch, builds the network, reads the same weights and does the same, and against ``dotally --help``, which does
nothing. Commands are wall time of processes of their own, start-up included.
"""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import torch
from PIL import Image

from benchmarks.crowd import crowd, folder, subject, trainer
from benchmarks.evaluation import CLOSE, count
from benchmarks.registry import Case
from dotally.models.cost import network_cost
from dotally.predict import Counter

SIZE = (768, 1024)
COUNTER, COMMAND, SCRIPT = "dotally", "dotally predict", "bare script"
# what somebody would write who has the network's definition and a photograph
_SCRIPT = """
import sys
import numpy as np
import torch
from PIL import Image
from dotally.models.csrnet import CSRNet

weights = torch.load(sys.argv[1], weights_only=True)["state_dict"]
model = CSRNet(width=0.125, batch_norm=True).eval()
prefix = "model."
model.load_state_dict({name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)})
pixels = torch.from_numpy(np.array(Image.open(sys.argv[2]).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
with torch.inference_mode():
    print(float(model((pixels - mean) / std).double().sum()) / 10)
"""


def cases() -> Iterator[Case]:
    """Yield the counter, on a GPU too, then the command."""
    yield counter_case("cpu")
    if torch.cuda.is_available():
        yield counter_case("cuda")
    yield _command_case()


def counter_case(device: str) -> Case:
    """Return the case of one picture counted by a loaded network on a device."""
    implementations: dict[str, Callable[[], object]] = {
        COUNTER: partial(counted, device),
        "plain PyTorch": partial(by_hand, device),
    }
    cost = network_cost(subject(device).model, SIZE)
    return Case(
        name=f"predict_picture{'_cpu' if device == 'cpu' else ''}",
        about=f"{'slim ' if device == 'cpu' else ''}CSRNet, one JPEG of {SIZE[0]}x{SIZE[1]} pixels, loaded and warm",
        ours=COUNTER,
        implementations=implementations,
        gate=partial(gate, device),
        repeats=dict.fromkeys(implementations, 10),
        facts={"pictures": 1, "height": SIZE[0], "width": SIZE[1]},
        work=dict.fromkeys(implementations, (float(cost.flops), float(cost.moved))),
        rate="fp32" if device == "cpu" else "tf32",
        device=device,
    )


def _command_case() -> Case:
    implementations: dict[str, Callable[[], object]] = {
        COMMAND: by_command,
        SCRIPT: by_script,
        "dotally --help": lambda: _run("-m", "dotally.cli", "--help"),
        "import torch": lambda: _run("-c", "import torch"),
    }
    return Case(
        name="predict_command",
        about=f"one JPEG of {SIZE[0]}x{SIZE[1]} pixels from the command line to its count, wall time",
        ours=COMMAND,
        implementations=implementations,
        gate=gate_command,
        repeats=dict.fromkeys(implementations, 3),
        facts={"height": SIZE[0], "width": SIZE[1]},
        device="wall",
    )


@cache
def picture() -> Path:
    """Return a picture of the synthetic crowd, enlarged, as a JPEG."""
    data = crowd()
    data.setup("test")
    path = folder() / "photo.jpg"
    Image.open(data.test_set.records[0].picture).resize(SIZE[::-1]).save(path, quality=90)
    return path


@cache
def weights(device: str = "cpu") -> Path:
    """Return a checkpoint of the untrained network of a device, as Lightning writes them."""
    path = folder() / f"untrained-{device}.ckpt"
    saver = trainer()
    saver.strategy.connect(subject(device))
    saver.save_checkpoint(path, weights_only=True)
    return path


@cache
def _counter(device: str) -> Counter:
    return Counter.load(weights(device), device=device)


def counted(device: str = "cpu") -> float:
    """Count with a loaded counter."""
    return _counter(device)(picture()).count


def by_hand(device: str = "cpu") -> float:
    """Count with the same network in plain PyTorch."""
    with torch.inference_mode():
        return float(count(_counter(device).network, Image.open(picture())))


def by_command() -> float:
    """Count by the command and read what it wrote."""
    out = folder() / "counted"
    arguments = ("--weights", str(weights()), "--out", str(out), "--device", "cpu", "--overlay", "none")
    _run("-m", "dotally.cli", "predict", str(picture()), *arguments)
    with (out / "counts.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    return float(row["count"])


def by_script() -> float:
    """Count by a script of a few lines."""
    return float(_run("-c", _SCRIPT, str(weights()), str(picture())))


def _run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-200:]}")
    return done.stdout


def gate(device: str = "cpu") -> None:
    """Compare the counts within a process."""
    _same(counted(device), by_hand(device), CLOSE[device])


def gate_command() -> None:
    """Compare the counts of the commands, which write them with some digits."""
    expected = by_hand()
    _same(by_script(), expected)
    _same(by_command(), expected, 1e-2)


def _same(found: float, expected: float, limit: float = 1e-4) -> None:
    assert abs(found - expected) <= limit * max(1.0, abs(expected)), f"{found} heads, expected {expected}"
