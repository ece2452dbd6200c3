"""CSRNet's training on a GPU: one step in several forms, and how busy the device is in an epoch of ShanghaiTech A.

A step renders its density maps on the device, as training does. The forms differ from ours in one thing each. Every
reading of a value would wait for the device, so a step reads none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from benchmarks.registry import Case, Skipped
from dotally.data.collate import PaddedBatch
from dotally.data.roots import data_roots
from dotally.data.shanghaitech import ShanghaiTech
from dotally.data.shanghaitech_files import find_part
from dotally.data.synthetic_crowd import SyntheticCrowd
from dotally.errors import DataError
from dotally.models.cost import network_cost
from dotally.tasks import CountingTask

OURS = "dotally"
HEADS = 150  # a picture
EPOCHS = 4  # pictures are decoded in the first; the last one is looked at
# relative differences of the losses that are let through; bfloat16 has 8 bits
CLOSE = {"float32 (TF32)": 3e-2, "contiguous": 1e-2, "one kernel a parameter": 1e-3, "torch.compile": 1e-2}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a step is taken, how large it is, and of which network; the defaults are what is promised.

    Attributes:
        gaussians: Gaussians of each back end of GauNet-CSRNet; CSRNet without any.
    """

    device: str = "cuda"
    crop: int = 512
    batch: int = 16
    width: float = 1.0
    gaussians: tuple[int, ...] = ()


class Event(Protocol):
    """What is needed of ``torch.cuda.Event``."""

    def record(self) -> None:
        """Note the device's time, once it gets here."""

    def synchronize(self) -> None:
        """Wait until it got here."""

    def elapsed_time(self, end_event: Any, /) -> float:
        """Return milliseconds from here to there."""
        ...


def cases() -> Iterator[Case | Skipped]:
    """Yield the forms of a step, the compiled one apart because compiling may fail, and the epoch."""
    names = ("csrnet_training_512", "csrnet_training_512_compiled", "shanghaitech_a_epoch")
    if not torch.cuda.is_available():
        yield from (Skipped(name, "it needs a CUDA GPU") for name in names)
        return
    yield training_step(names[0], ("float32 (TF32)", "contiguous", "one kernel a parameter"))
    yield training_step(names[1], ("torch.compile",))
    try:
        find_part(data_roots(), "A")
    except DataError as error:
        yield Skipped(names[2], str(error).splitlines()[0])
        return
    yield _epoch(names[2])


def training_step(name: str, others: tuple[str, ...], place: Place | None = None) -> Case:
    """Return the case of one step of full CSRNet, ours beside other forms."""
    chosen = place or Place()
    forms = (OURS, *others)
    return Case(
        name=name,
        about=f"CSRNet, {about(chosen)}",
        ours=OURS,
        implementations={form: partial(step, form, chosen) for form in forms},
        gate=partial(gate, forms, chosen),
        repeats=dict.fromkeys(forms, 30),
        facts=facts(chosen),
        work=dict.fromkeys(forms, (operations(chosen), 0.0)),
        rate="bf16",
        device=chosen.device,
    )


def about(place: Place) -> str:
    """Say what one step is."""
    size = f"{place.batch} crops of {place.crop}x{place.crop} pixels"
    return f"one training step of {size}, bfloat16, density rendered"


def facts(place: Place) -> dict[str, int]:
    """Return what explains the row of a step."""
    return {"pictures": place.batch, "steps": 1, "crop": place.crop, "heads": HEADS * place.batch}


def operations(place: Place) -> float:
    """Count those of a step; no bytes: the promise is a share of the matrix rate, and fusing saves bytes anyway."""
    return float(network_cost(task(place, "meta").model, (place.crop, place.crop), batch=place.batch).training_flops)


class Step:
    """A network in some form, its optimizer, and a batch that has arrived on the device; a call is one step."""

    def __init__(self, form: str, place: Place) -> None:
        torch.manual_seed(0)
        self.form, self.place, self.data = form, place, SyntheticCrowd()
        self.task = task(place, place.device).train()
        if form == "contiguous":
            self.task.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if form == "torch.compile":
            self.task.model.compile()
        self.batch = _batch(place)
        fused = place.device == "cuda" and form != "one kernel a parameter"
        # ``foreach`` is the other way to few kernels
        way = {"fused": True} if fused else {"foreach": False}
        # the loss adds up over cells: falls by a third in a step, and stays finite however many are timed
        rate = 1.25e-5 / (place.crop**2 * place.width)
        self.optimizer = torch.optim.SGD(self.task.model.parameters(), lr=rate, momentum=0.95, **way)

    def __call__(self) -> Tensor:
        """Take the step and return its loss, which stays on the device."""
        ready = self.data.on_after_batch_transfer(self.batch, 0)
        with torch.autocast(self.place.device, torch.bfloat16, enabled=self.form != "float32 (TF32)"):
            loss = self.task.loss(self.task(ready["image"], ready["size"]), ready["density"], ready["mask"])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def task(place: Place, device: str) -> CountingTask:
    """Build the network of a place on a device."""
    kind: dict[str, Any] = {"gaussians": place.gaussians} if place.gaussians else {"init": "he"}
    name = "gaunet_csrnet" if place.gaussians else "csrnet"
    with torch.device(device):
        return CountingTask(name, {"width": place.width, **kind}, loss="scaled_mean_square")


def _batch(place: Place) -> PaddedBatch:
    """Draw pictures and heads; what is in a picture does not change how long it takes."""
    rng = torch.Generator().manual_seed(0)
    heads = HEADS * place.batch
    image = torch.randint(256, (place.batch, 3, place.crop, place.crop), generator=rng, dtype=torch.uint8)
    return PaddedBatch(
        name=[f"{i}.jpg" for i in range(place.batch)],
        image=image.to(place.device),
        size=torch.full((place.batch, 2), place.crop).to(place.device),
        points=(torch.rand(heads, 2, generator=rng) * place.crop).to(place.device),
        sigma=(4 + 8 * torch.rand(heads, generator=rng)).to(place.device),
        count=torch.full((place.batch,), HEADS).to(place.device),
    )


_prepared = cache(Step)


def step(form: str, place: Place) -> Tensor:
    """Take the next step in a form."""
    return _prepared(form, place)()


def gate(forms: tuple[str, ...], place: Place) -> None:
    """Compare the losses of the first two steps: the second sees what the first one's gradients did."""
    ours = Step(OURS, place)
    expected = [float(ours()), float(ours())]
    for form in forms[1:]:
        compare(form, Step(form, place), expected, CLOSE[form])


def compare(form: str, take: Callable[[], Tensor], expected: list[float], close: float) -> None:
    """Want these losses of the next steps.

    Raises:
        AssertionError: One differs by more than this share of it.
    """
    for wanted in expected:
        found = float(take())
        assert abs(found - wanted) <= close * wanted, f"{form}: loss {found}, expected {wanted}"


def _event() -> Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


class Busy(Callback):
    """Find the share of an epoch in which the device works on a batch, by events on the device.

    From the end of a batch to the beginning of the next one the device waits for the host: for the loader, mostly. The
    rendering of density maps comes before a batch's beginning and counts as waiting; gaps within a batch count as work.
    Batches of the validation are batches too, and an epoch ends after it.

    Args:
        event: Makes an event.
    """

    def __init__(self, event: Callable[[], Event] = _event) -> None:
        self.event = event
        self.marks: list[tuple[Event, Event]] = []

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.marks, self._epoch = [], self._mark()

    @override
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._begin = self._mark()

    @override
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.marks.append((self._begin, self._mark()))

    @override
    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kw: Any) -> None:
        self._begin = self._mark()

    @override
    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kw: Any) -> None:
        self.marks.append((self._begin, self._mark()))

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end = self._mark()

    def share(self) -> float:
        """Return the share of the last epoch, 0 to 1."""
        milliseconds = self.seconds() * 1e3  # which waits for the device
        return sum(begin.elapsed_time(end) for begin, end in self.marks) / milliseconds

    def seconds(self) -> float:
        """Return how long the last epoch took, its validation included."""
        self._end.synchronize()
        return self._epoch.elapsed_time(self._end) / 1e3

    def _mark(self) -> Event:
        event = self.event()
        event.record()
        return event


def _epoch(name: str) -> Case:
    noted: dict[str, Any] = {"crop": Place.crop, "batch": Place.batch, "epochs": EPOCHS}

    def run() -> None:
        noted.update(train_epochs())

    return Case(
        name=name,
        about=f"CSRNet on ShanghaiTech A, {EPOCHS} epochs of {Place.crop} pixel crops, each validated, kept in memory",
        ours=OURS,
        implementations={OURS: run},
        gate=lambda: None,  # nothing beside it to compare with
        repeats={OURS: 1},
        facts=noted,
        device="wall",
    )


def train_epochs() -> dict[str, float]:
    """Train as a table's run does; return the pictures of all epochs, and how long and how busy the last one was."""
    data = ShanghaiTech("A", crop=Place.crop, batch_size=Place.batch, keep_in_memory=True)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    busy = Busy()
    settings: dict[str, Any] = dict.fromkeys(quiet, False) | {"num_sanity_val_steps": 0, "precision": "bf16-mixed"}
    pl.Trainer(accelerator="gpu", devices=1, max_epochs=EPOCHS, callbacks=[busy], **settings).fit(
        task(Place(), "cpu"), data
    )
    pictures = EPOCHS * len(data.train_set)
    return {"pictures": pictures, "epoch_seconds": busy.seconds(), "gpu_busy": busy.share()}
