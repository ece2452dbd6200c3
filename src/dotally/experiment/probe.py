"""What a plan says of a cell before it is run: how far each seed has come, and what the rest will cost."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from typing_extensions import override

from dotally.baselines import picture_statistics
from dotally.data.crowd import CrowdDataModule
from dotally.data.localization import LocalizationDataModule
from dotally.errors import DotallyError
from dotally.experiment.identity import differences, resolved_spec
from dotally.experiment.job import Job, Options, data_module, plan
from dotally.experiment.localization import Localization, build
from dotally.experiment.localization_run import check_tunable
from dotally.experiment.report import is_stale, seeds_of
from dotally.experiment.results import Result
from dotally.experiment.spec import Data, Run, Table, Trivial
from dotally.models.cost import network_cost

State = Literal["planned", "running", "done", "failed", "interrupted", "stale", "spec changed", "data changed"]

WARM_UP, STEPS, PICTURES = 3, 10, 5
# seconds after which a slow network's probe makes do with what it has timed
PATIENCE = 20.0
# of a picture that is not at hand: most of ShanghaiTech's
USUAL_SIZE = (768, 1024)
CLOCK = time.perf_counter


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one seed of a cell costs.

    Attributes:
        seconds: Of one seed.
        basis: Where the number comes from: "probe", or "measured on ...".
        cpu: What finished runs took of the processor's own time, which a busy machine stretches; None where unknown.
    """

    seconds: float
    basis: str
    cpu: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """One cell before it is run.

    Attributes:
        cell: Its specification.
        states: Of every seed, each with its reason, which may be empty.
        trouble: Why it cannot be run here, or empty.
        network: Parameters and operations of one picture, for people; empty where nothing is learnt.
    """

    cell: Run | Trivial
    states: tuple[tuple[State, str], ...]
    trouble: str = ""
    network: str = ""

    @property
    def open(self) -> int:
        """How many seeds have no result."""
        return sum(state not in ("done", "stale") for state, _ in self.states)


def outlook(
    table: Table, cell: Run | Trivial, seeds: Sequence[int], results: Sequence[Result], options: Options
) -> Outlook:
    """Say how far each seed of a cell has come; without its data, as far as its results tell."""
    ours = [result for result in results if result.table == table.id and result.cell == cell.cell]
    states: list[tuple[State, str]] = []
    trouble = ""
    for seed in seeds_of(cell, seeds):
        job = None
        try:
            job = plan(table.id, cell, seed, options)
        except DotallyError as error:
            trouble = str(error)
        states.append(_state(cell, [result for result in ours if result.seed == seed], job))
    network = "" if isinstance(cell, Trivial) else _network(cell, options)
    return Outlook(cell=cell, states=tuple(states), trouble=trouble, network=network)


def _network(cell: Run, options: Options) -> str:
    """Count a cell's network at the size of its first test picture; without its data, at 768 x 1024."""
    try:
        with torch.device("meta"):
            model = build(cell).model
        height, width = _picture_size(cell, options)
        cost = network_cost(model, (height, width))
    except Exception as error:  # a plan is printed whatever a network does
        return f"? ({type(error).__name__})"
    return f"{cost.parameters / 1e6:.3g} M, {cost.flops / 1e9:.3g} GFLOP at {width}x{height}"


def _picture_size(cell: Run, options: Options) -> tuple[int, int]:
    try:
        data = data_module(cell, 0, replace(options, workers=0))
        data.prepare_data()
        data.setup("test")
        _, _, height, width = next(iter(data.test_dataloader()))["image"].shape
    except (DotallyError, StopIteration):
        return USUAL_SIZE
    return height, width


def _state(cell: Run | Trivial, results: Sequence[Result], job: Job | None) -> tuple[State, str]:
    spec = resolved_spec(cell)
    same = [result for result in results if result.spec == spec]
    done = [result for result in same if job is None or result.key == job.key]
    if done:
        return ("stale", "the code that decides it has changed since") if is_stale(cell, done[-1:]) else ("done", "")
    state = job.folder.state() if job else "planned"
    if job and state == "done":  # but no readable result
        return "failed", f"{job.folder.result} cannot be read: delete it and run again"
    if job and state != "planned":
        return state, job.folder.reason()
    if same:
        return "data changed", "its result was made with other data"
    if results:
        return "spec changed", "; ".join(differences(results[-1].spec, spec))
    return "planned", ""


def measured(cell: Run | Trivial, results: Sequence[Result]) -> Cost | None:
    """Return what finished runs of a cell's specification took on average; None without any."""
    spec = resolved_spec(cell)
    same = [result for result in results if result.spec == spec and "seconds" in result.facts]
    if not same:
        return None
    environment = same[-1].environment
    commit = str(environment.get("commit") or "")[:7]
    seconds = fmean(float(result.facts["seconds"]) for result in same)
    own = [float(result.facts["cpu_seconds"]) for result in same if "cpu_seconds" in result.facts]
    cpu = fmean(own) if own and environment.get("device") == "cpu" else None
    basis = f"measured on {environment.get('device', '?')}{commit and f' at {commit}'}"
    return Cost(seconds=seconds, basis=basis, cpu=cpu)


def probe(cell: Run | Trivial, options: Options) -> Cost:
    """Time a few steps and pictures of a cell on this machine; leaves nothing behind and shows no figure.

    Three steps warm up, ten are timed, then five validation pictures; the rest is multiplication. Test pictures are
    read where there are no others. Weights are neither needed nor fetched, since they do not change the time.

    Raises:
        DotallyError: If the data are missing, or lack a split that the cell needs.
    """
    data = data_module(cell, 0, options)
    data.prepare_data()
    if isinstance(data, LocalizationDataModule) and data.splits() == ("test",):
        return _untrained(cell, data, options)
    data.setup("fit")
    tested = len(data.dataset("test"))
    if isinstance(cell, Trivial):
        assert isinstance(data, CrowdDataModule)
        seconds = _picture_seconds(data) * (len(data.dataset("train")) + tested)
        return Cost(seconds=seconds, basis="probe")
    step, picture = _network_seconds(cell, data, options)
    steps = len(data.train_dataloader()) * cell.max_epochs / options.devices
    validated = len(data.val_set) * cell.max_epochs / options.devices
    if isinstance(cell, Localization):
        # epochs validate labels alone, for a third of a step; methods look at the validation pictures once, to tune
        steps, validated = steps + validated / data.batch_size / 3, len(data.val_set) if cell.tuned else 0
    return Cost(seconds=step * steps + picture * (validated + tested), basis="probe")


def _untrained(cell: Run | Trivial, data: LocalizationDataModule, options: Options) -> Cost:
    """Time a published network on pictures that have nothing but boxes to judge by."""
    assert isinstance(cell, Localization)
    check_tunable(cell, data)
    data.setup("fit" if cell.max_epochs else "test")
    return Cost(seconds=_network_seconds(cell, data, options)[1] * len(data.test_set), basis="probe")


def _picture_seconds(data: CrowdDataModule) -> float:
    watch = _Stopwatch(1, PICTURES - 1)
    for index in range(min(PICTURES, len(data.val_set))):
        picture_statistics(data.val_set.load(index).image)
        watch.end()
    return watch.seconds


def _network_seconds(run: Run, data: Data, options: Options) -> tuple[float, float]:
    """Return the seconds of a training step and of a validation picture, or a test picture where there is no other."""
    task = build(run)
    if "imagenet" in task.hparams:
        task.hparams["imagenet"] = None
    steps, pictures = _Stopwatch(WARM_UP, STEPS), _Stopwatch(1, PICTURES - 1)
    if run.max_epochs:
        arguments = {"max_epochs": run.max_epochs, "limit_val_batches": 0, "callbacks": [steps]}
        _trainer(run, options, **arguments).fit(task, data)
    # small enough for two batches, of which the first warms up: methods take seconds for a picture
    data.eval_batch_size = min(data.eval_batch_size, math.ceil(PICTURES / 2))
    batches = math.ceil(PICTURES / data.eval_batch_size)
    arguments = {"limit_val_batches": batches, "limit_test_batches": batches, "callbacks": [pictures]}
    trainer = _trainer(run, options, **arguments)
    look = trainer.validate if hasattr(data, "val_set") else trainer.test
    look(task, data, verbose=False)
    return steps.seconds, pictures.seconds / data.eval_batch_size


def _trainer(run: Run, options: Options, **arguments: Any) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    machine = {"accelerator": options.accelerator, "devices": 1, "num_sanity_val_steps": 0}
    return pl.Trainer(**{**run.trainer, **quiet, **machine, **arguments})


class _Stopwatch(Callback):
    """Time batches from the end of one to the end of the next, loading included, and stop a training after enough."""

    def __init__(self, warm_up: int, timed: int, clock: Callable[[], float] | None = None) -> None:
        self.warm_up, self.enough, self.clock = warm_up, warm_up + timed, clock or CLOCK
        self.ends: list[float] = [self.clock()]

    @property
    def seconds(self) -> float:
        """Seconds of a batch; where few were timed, the warm-up counts."""
        if len(self.ends) < 2:
            return 0.0
        first = min(self.warm_up, len(self.ends) - 2)
        return (self.ends[-1] - self.ends[first]) / (len(self.ends) - 1 - first)

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self.end()
        slow = len(self.ends) > 2 and self.ends[-1] - self.ends[0] > PATIENCE
        trainer.should_stop = slow or len(self.ends) > self.enough

    @override
    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.end()

    @override
    def on_test_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        self.end()

    def end(self) -> None:
        """Note the end of a batch, once the device has got there."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(self.clock())
