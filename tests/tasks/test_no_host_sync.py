"""A training step never makes the host wait for the device: fake tensors hold no value that could be read back."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from dotally.data import SyntheticCrowd
from dotally.data.collate import PaddedBatch
from dotally.ops import density, gaussian_conv
from dotally.predict.network import ClassifyingNetwork, CountingNetwork
from dotally.tasks import CountingTask, LocalizationTask
from dotally.tasks.loss_watch import LossWatch
from dotally.tasks.recipes import slim_csrnet, slim_gaunet_csrnet

WAITS = (DataDependentOutputException, DynamicOutputShapeException)
NARROW = {"width": 1 / 32, "batch_norm": True}


class Event:
    """A CUDA event that does not happen within this test."""

    def record(self) -> None: ...

    def query(self) -> bool:
        return False


def copied(*values: object, **options: object) -> None:
    raise AssertionError("torch.tensor copies numbers to the device, and the host waits for that")


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Take the ways that tensors on a GPU take; a fake one cannot claim to lie there without CUDA."""
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(LossWatch, "see", lambda self, loss, step, explain: self._send(loss, explain))
    monkeypatch.setattr(density, "_check", lambda *values: None)
    monkeypatch.setattr(gaussian_conv, "check_values", lambda *values, **limits: None)
    monkeypatch.setattr(torch, "tensor", copied)
    with FakeTensorMode() as mode:
        yield mode


def emptied(module: nn.Module) -> None:
    """Give a module tensors without values; within a FakeTensorMode."""
    for part in module.modules():
        for name, value in part._parameters.items():
            part._parameters[name] = value if value is None else nn.Parameter(like(value))
        for name, value in part._buffers.items():
            part._buffers[name] = value if value is None else like(value)


def like(value: Tensor) -> Tensor:
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype)


def padded() -> PaddedBatch:
    return PaddedBatch(
        name=["a.jpg", "b.jpg"],
        image=torch.empty(2, 3, 64, 96, dtype=torch.uint8),
        size=torch.empty(2, 2, dtype=torch.int64),
        points=torch.empty(7, 2),
        sigma=torch.empty(7),
        count=torch.empty(2, dtype=torch.int64),
    )


@pytest.mark.parametrize(
    "make", [lambda: slim_csrnet(model_kwargs=NARROW), lambda: slim_gaunet_csrnet(model_kwargs=NARROW)]
)
def test_a_counting_step_reads_nothing_back(make: Callable[[], CountingTask], request: pytest.FixtureRequest) -> None:
    task, data = make(), SyntheticCrowd()
    request.getfixturevalue("on_gpu")
    emptied(task)
    with torch.autocast("cpu", torch.bfloat16):
        # all that happens between a batch's arrival on the device and its gradients
        loss = task.training_step(data.on_after_batch_transfer(padded(), 0), 0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert all(parameter.grad is not None for parameter in task.model.frontend.parameters())


def test_a_classification_step_reads_nothing_back_but_at_the_first_batch(request: pytest.FixtureRequest) -> None:
    task = LocalizationTask(model_kwargs={"width": 0.25})
    task._check_labels = lambda *values: None  # which looks at the labels of the first batch only
    request.getfixturevalue("on_gpu")
    emptied(task)
    batch: Any = {"name": ["a", "b"], "image": torch.empty(2, 3, 64, 64, dtype=torch.uint8)}
    batch["label"] = torch.empty(2, dtype=torch.int64)
    task.training_step(batch, 0).backward()


def test_predicting_reads_nothing_back(request: pytest.FixtureRequest) -> None:
    counting, classifying = CountingNetwork(model_kwargs=NARROW), ClassifyingNetwork(model_kwargs={"width": 0.25})
    request.getfixturevalue("on_gpu")
    for network in (counting, classifying):
        emptied(network.eval())
    image, size = torch.empty(2, 3, 64, 96, dtype=torch.uint8), torch.empty(2, 2, dtype=torch.int64)
    with torch.no_grad():
        assert counting(image, size).shape == (2, 1, 8, 12)
        assert len(classifying.model(classifying.prepare(image))) == 2


@pytest.mark.parametrize("read", [lambda x: x.item(), lambda x: bool(x > 0), lambda x: x.nonzero()])
def test_what_reads_a_value_back_is_noticed(read: Callable[[Tensor], object], on_gpu: FakeTensorMode) -> None:
    with pytest.raises(WAITS):
        read(torch.empty(()))
