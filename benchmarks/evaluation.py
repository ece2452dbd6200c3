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

from benchmarks.crowd import WHOLE, crowd, slim, trainer
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
_NORMAL = PRESETS["imagenet"]

Make = Callable[[], CrowdDataModule]


def cases() -> Iterator[Case | Skipped]:
    """Yield the synthetic crowd's small pictures, and a few of ShanghaiTech B where it is at hand."""
    yield _case("evaluation_cpu", crowd, WHOLE, (192, 256))
    try:
        find_part(data_roots(), "B")
    except DataError as error:
        yield Skipped("evaluation_shanghaitech_b_cpu", str(error).splitlines()[0])
        return
    yield _case("evaluation_shanghaitech_b_cpu", street, REAL, (768, 1024))


def street() -> CrowdDataModule:
    """Return ShanghaiTech B with the first few of its test pictures."""
    data = ShanghaiTech("B")
    usual = data.setup

    def setup(stage: str | None = None) -> None:
        usual(stage)
        data.test_set.records = data.test_set.records[:REAL]

    data.setup = setup  # type: ignore[method-assign]
    return data


def _case(name: str, make: Make, pictures: int, size: tuple[int, int]) -> Case:
    implementations: dict[str, Callable[[], object]] = {OURS: partial(ours, make), PLAIN: partial(plain, make)}
    cost = network_cost(slim().model, size)
    work = (float(pictures * cost.flops), float(pictures * cost.moved))
    return Case(
        name=name,
        about=f"slim CSRNet, {pictures} whole pictures of {size[0]}x{size[1]} pixels, tested one by one",
        ours=OURS,
        implementations=implementations,
        gate=partial(gate, make),
        repeats=dict.fromkeys(implementations, 5),
        facts={"pictures": pictures, "height": size[0], "width": size[1]},
        work=dict.fromkeys(implementations, work),
    )


@cache
def _task() -> CountingTask:
    return slim().eval()


def ours(make: Make) -> list[float]:
    """Test as the tables do and return the counts."""
    found = Predictions()
    trainer(found).test(_task(), make(), verbose=False)
    return [row.predicted for row in found.rows]


def plain(make: Make) -> list[float]:
    """Return the counts of a loop that does nothing else."""
    data = make()
    data.setup("test")
    task = _task().eval()
    with torch.inference_mode():
        return [float(count(task, Image.open(record.picture))) for record in data.test_set.records]


def count(task: CountingTask | CountingNetwork, picture: Image.Image) -> Tensor:
    """Return the heads that a network finds in a picture, in plain PyTorch."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float().div(255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (_NORMAL.mean, _NORMAL.std))
    shown = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    return task.model(shown).double().sum() / task.hparams["density_scale"]


def gate(make: Make) -> None:
    """Compare the counts of all pictures."""
    found, expected = ours(make), plain(make)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other) <= 1e-4 * max(1.0, abs(other)), f"{one} heads, the plain loop finds {other}"
