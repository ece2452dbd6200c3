"""Testing on whole pictures, from the file to the count: Lightning with all metrics beside a plain loop.

The plain loop decodes a picture with Pillow, normalizes it, runs the network and sums its map, and computes nothing
else; ours also renders the true map of each picture and updates GAME and the errors of counts, as in every table.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.crowd import WHOLE, crowd, subject, trainer
from benchmarks.registry import Case, Skipped
from dotally.callbacks import Predictions
from dotally.data.crowd import CrowdDataModule
from dotally.data.roots import data_roots
from dotally.data.shanghaitech import ShanghaiTech
from dotally.data.shanghaitech_files import find_part
from dotally.errors import DataError
from dotally.models.cost import network_cost
from dotally.models.preprocessing import PRESETS
from dotally.predict.network import CountingNetwork
from dotally.tasks import CountingTask

OURS, PLAIN = "dotally", "plain loop"
REAL = 6
# relative differences of counts that are let through: a GPU's convolutions round their operands to TF32
CLOSE = {"cpu": 1e-4, "cuda": 1e-2}
_NORMAL = PRESETS["imagenet"]

Make = Callable[[], CrowdDataModule]


def cases() -> Iterator[Case | Skipped]:
    """Yield the synthetic crowd's small pictures, and a few of ShanghaiTech B where it is at hand; on a GPU too."""
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        mark = "_cpu" if device == "cpu" else ""
        yield case(f"evaluation{mark}", crowd, WHOLE, (192, 256), device)
        try:
            find_part(data_roots(), "B")
        except DataError as error:
            yield Skipped(f"evaluation_shanghaitech_b{mark}", str(error).splitlines()[0])
        else:
            yield case(f"evaluation_shanghaitech_b{mark}", street, REAL, (768, 1024), device)


def street() -> CrowdDataModule:
    """Return ShanghaiTech B with the first few of its test pictures."""
    data = ShanghaiTech("B")
    usual = data.setup

    def setup(stage: str | None = None) -> None:
        usual(stage)
        data.test_set.records = data.test_set.records[:REAL]

    data.setup = setup  # type: ignore[method-assign]
    return data


def case(name: str, make: Make, pictures: int, size: tuple[int, int], device: str) -> Case:
    """Return the case of testing some pictures on a device."""
    runs: dict[str, Callable[[], object]] = {OURS: partial(ours, make, device), PLAIN: partial(plain, make, device)}
    cost, network = network_cost(subject(device).model, size), "slim CSRNet" if device == "cpu" else "CSRNet"
    work = (float(pictures * cost.flops), float(pictures * cost.moved))
    return Case(
        name=name,
        about=f"{network}, {pictures} whole pictures of {size[0]}x{size[1]} pixels, tested one by one",
        ours=OURS,
        implementations=runs,
        gate=partial(gate, make, device),
        repeats=dict.fromkeys(runs, 5),
        facts={"pictures": pictures, "height": size[0], "width": size[1]},
        work=dict.fromkeys(runs, work),
        rate="fp32" if device == "cpu" else "tf32",
        device=device,
    )


@cache
def _task(device: str, user: str) -> CountingTask:
    return subject(device).eval().to(device)  # one each: Lightning takes its own back to the CPU


def ours(make: Make, device: str = "cpu") -> list[float]:
    """Test as the tables do and return the counts."""
    found = Predictions()
    accelerator = "cpu" if device == "cpu" else "gpu"
    trainer(found, accelerator=accelerator).test(_task(device, OURS), make(), verbose=False)
    return [row.predicted for row in found.rows]


def plain(make: Make, device: str = "cpu") -> list[float]:
    """Return the counts of a loop that does nothing else."""
    data = make()
    data.setup("test")
    task = _task(device, PLAIN)
    with torch.inference_mode():
        return [float(count(task, Image.open(record.picture))) for record in data.test_set.records]


def count(task: CountingTask | CountingNetwork, picture: Image.Image) -> Tensor:
    """Return the heads that a network finds in a picture, in plain PyTorch."""
    device = next(task.parameters()).device
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).to(device).permute(2, 0, 1)[None].float().div(255)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (_NORMAL.mean, _NORMAL.std))
    shown = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    return task.model(shown).double().sum() / task.hparams["density_scale"]


def gate(make: Make, device: str = "cpu") -> None:
    """Compare the counts of all pictures."""
    found, expected = ours(make, device), plain(make, device)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other) <= CLOSE[device] * max(1.0, abs(other)), f"{one} heads, the plain loop finds {other}"
