"""GauNet-CSRNet's training step on a GPU beside that of CSRNet, whose dilated back end its Gaussians stand for.

They are different networks, so the gate holds each one in bfloat16 against itself in float32.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from benchmarks.registry import Case, Skipped
from benchmarks.training_gpu import OURS as FORM
from benchmarks.training_gpu import Place, about, facts, gate, operations, step

OURS, PYRAMID, PEER = "dotally, K = 4", "dotally, K = 2, 4 and 8", "CSRNet"
GAUSSIANS = {OURS: (4,), PYRAMID: (2, 4, 8), PEER: ()}


def cases() -> Iterator[Case | Skipped]:
    """Yield the case whose ratios are promised, where there is a GPU."""
    name = "gaunet_training_512"
    yield networks(name, Place()) if torch.cuda.is_available() else Skipped(name, "it needs a CUDA GPU")


def networks(name: str, place: Place) -> Case:
    """Return the case of one step of each network at one size."""
    places = {label: replace(place, gaussians=gaussians) for label, gaussians in GAUSSIANS.items()}

    def check() -> None:
        for each in places.values():
            gate((FORM, "float32 (TF32)"), each)

    return Case(
        name=name,
        about=f"GauNet-CSRNet with one back end or three, {about(place)}",
        ours=OURS,
        implementations={label: partial(step, FORM, each) for label, each in places.items()},
        gate=check,
        repeats=dict.fromkeys(places, 30),
        facts=facts(place),
        work={label: (operations(each), 0.0) for label, each in places.items()},
        rate="bf16",
        device=place.device,
    )
