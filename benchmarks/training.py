"""Steps of a training: Lightning beside a bare PyTorch loop, and forms of one step on a CPU.

Both loops train slim CSRNet on the synthetic crowd, crops of 256 pixels, batches of 8, AdamW with its schedule, and the
gate wants the same weights bit for bit. Lightning is set up as every table's run is: epoch means of the loss, the check
for a loss that is not finite, a heartbeat. The forms are one step on one batch: memory layout, bfloat16 and threads.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from benchmarks.crowd import BATCH, CROP, STEPS, batch, cores, crowd, slim, trainer
from benchmarks.registry import Case, Skipped
from dotally.callbacks import Heartbeat
from dotally.models.cost import network_cost
from dotally.models.preprocessing import preprocess
from dotally.tasks import CountingTask

LIGHTNING, BARE = "Lightning", "bare loop"
# by form: relative error of what one layer computes. In float32 that of a batch norm's sum of BATCH x CROP^2 numbers,
# whose errors add up like a random walk (None: known when the sizes are); in bfloat16 an activation's last bit.
LAYER = {"channels last": None, "contiguous": None, "bfloat16": 2.0**-8}


def cases() -> Iterator[Case | Skipped]:
    """Yield Lightning's overhead, then the forms of a step by CPU time, and by wall time where threads help."""
    yield _overhead()
    yield _forms()
    yield _threads() if cores() > 1 else Skipped("training_threads", "it needs two cores")


def _overhead() -> Case:
    implementations: dict[str, Callable[[], object]] = {LIGHTNING: lightning, BARE: bare}
    return Case(
        name="lightning_overhead_cpu",
        about=f"slim CSRNet, {STEPS} training steps of {BATCH} crops of {CROP}x{CROP} pixels",
        ours=LIGHTNING,
        implementations=implementations,
        gate=gate,
        repeats=dict.fromkeys(implementations, 16),  # a few percent are asked about: many turns, within --seconds
        facts={"pictures": STEPS * BATCH, "steps": STEPS, "batch": BATCH, "crop": CROP},
        work=dict.fromkeys(implementations, _work(STEPS)),
    )


def lightning() -> CountingTask:
    """Train as a table's run does, without validation and checkpoints, and return the task."""
    task = slim()
    trainer(Heartbeat(lambda: None, 1.0)).fit(task, crowd())
    return task


def bare() -> CountingTask:
    """Train the same network on the same batches with nothing but PyTorch, and return it."""
    task, data = slim(), crowd()
    data.setup("fit")
    loader = data.train_dataloader()
    optimizer = AdamW(task.model.parameters(), lr=task.hparams["lr"], weight_decay=0.0)
    schedule = OneCycleLR(optimizer, max_lr=task.hparams["lr"], total_steps=len(loader))
    task.train()
    for loaded in loader:
        shown = data.on_after_batch_transfer(loaded, 0)
        loss = task.loss(task(shown["image"], shown["size"]), shown["density"], shown["mask"])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return task


@cache
def gate() -> None:
    """Compare all weights and statistics after the last step, bit for bit."""
    ours, theirs = lightning().model.state_dict(), bare().model.state_dict()
    first = slim().model.state_dict()
    assert any(not torch.equal(value, first[name]) for name, value in ours.items()), "nothing was trained"
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), f"{name} differs after {STEPS} steps"


def _forms() -> Case:
    low = "channels last, bfloat16"
    forms = {"channels last": "channels last", "contiguous": "contiguous", low: "bfloat16"}
    implementations = {name: partial(step, form) for name, form in forms.items()}
    # emulated, bfloat16 takes many times as long
    repeats = dict.fromkeys(forms, 5) | ({} if has_bfloat16() else {low: 2})
    return _step_case("training_step_cpu", implementations, "channels last", repeats)


def _threads() -> Case:
    implementations = {
        "1 thread": partial(step, "channels last"),
        "2 threads": partial(step, "channels last", threads=2),
    }
    repeats = dict.fromkeys(implementations, 8)
    return _step_case("training_threads", implementations, "2 threads", repeats, device="wall")


def _step_case(
    name: str,
    implementations: Mapping[str, Callable[[], object]],
    ours: str,
    repeats: dict[str, int],
    *,
    device: str = "cpu",
) -> Case:
    wall = ", wall time" if device == "wall" else ""
    return Case(
        name=name,
        about=f"slim CSRNet, one training step of {BATCH} crops of {CROP}x{CROP} pixels{wall}",
        ours=ours,
        implementations=implementations,
        gate=gate_forms,
        repeats=repeats,
        facts={"pictures": BATCH, "steps": 1, "crop": CROP, "bfloat16_in_hardware": has_bfloat16()},
        work=dict.fromkeys(implementations, _work(1)),
        device=device,
    )


class _Step:
    """A network in some memory layout, its optimizer, and a batch."""

    def __init__(self, form: str, dtype: torch.dtype = torch.float32) -> None:
        self.task, self.shown, self.dtype = slim(), batch(), dtype
        self.layout = torch.contiguous_format if form == "contiguous" else torch.channels_last
        self.task.model.to(dtype=dtype, memory_format=self.layout)  # type: ignore[call-overload]  # the stubs lack it
        self.optimizer = AdamW(self.task.model.parameters(), lr=1e-3)
        self.low = form == "bfloat16"
        self.task.train()

    def differentiate(self) -> Tensor:
        """Compute the loss, and its gradients into the parameters."""
        prepared = preprocess(self.shown["image"], self.shown["size"], self.task.preprocessing).to(self.dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            output = self.task.model(prepared.contiguous(memory_format=self.layout))
        density = output.to(self.dtype) / self.task.hparams["density_scale"]
        loss = self.task.loss(density, self.shown["density"].to(self.dtype), self.shown["mask"].to(self.dtype))
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        return loss

    def __call__(self) -> float:
        loss = self.differentiate()
        self.optimizer.step()
        return loss.item()


_prepared = cache(_Step)


def step(form: str, *, threads: int = 1) -> float:
    """Take one training step in a form and return its loss."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _prepared(form)()
    finally:
        torch.set_num_threads(before)


@cache
def gate_forms() -> None:
    """Compare the first step's loss and gradients, from the same weights, with those in float64.

    Later losses need not agree: AdamW's first step goes by the signs of gradients, and those of a bias before a batch
    norm, whose gradient is 0, are signs of rounding errors. Through L layers random errors of u each grow to sqrt(L) u.
    A gradient jumps where a ReLU's input changes its sign, which about that share does in each of the L layers; what
    each takes along is independent, so the squares add up: the gradient's error is at most sqrt(L sqrt(L) u).
    """
    exact_loss, exact = _first(_Step("contiguous", torch.float64))
    layers = sum(isinstance(module, torch.nn.Conv2d) for module in slim().model.modules())
    for form, known in LAYER.items():
        error = known or 2.0**-24 * (BATCH * CROP**2) ** 0.5
        loss, gradient = _first(_Step(form))
        off, turned = abs(loss / exact_loss - 1), float((gradient - exact).norm() / exact.norm())
        limit = layers**0.5 * error
        assert off <= limit, f"{form}: loss {loss}, expected {exact_loss}: off by {off:.1e}, limit {limit:.1e}"
        limit = (layers**1.5 * error) ** 0.5
        if form != "bfloat16":  # whose limit is no small number, so that the estimate says nothing
            assert turned <= limit, f"{form}: gradient off by {turned:.1e} of its length, limit {limit:.1e}"


def _first(one: _Step) -> tuple[float, Tensor]:
    loss = one.differentiate().item()
    grads = [p.grad.double().flatten() for p in one.task.model.parameters() if p.grad is not None]
    return loss, torch.cat(grads)


def has_bfloat16() -> bool:
    """Say whether this processor multiplies bfloat16 itself; elsewhere it is emulated."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@cache
def _step_work() -> tuple[float, float]:
    cost = network_cost(slim().model, (CROP, CROP), batch=BATCH)
    return float(cost.training_flops), float(cost.training_moved)


def _work(steps: int) -> tuple[float, float]:
    return steps * _step_work()[0], steps * _step_work()[1]
