"""Which runs there are: a cell at a seed, who it is, and what the machine at hand decides."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotally.data.crowd import CrowdDataModule, Split
from dotally.data.crowd_dataset import CrowdDataset
from dotally.data.roots import data_roots
from dotally.data.transforms import Augmentation
from dotally.errors import DataError, DotallyError
from dotally.experiment import identity
from dotally.experiment.folder import RunFolder
from dotally.experiment.spec import Data, Run, Trivial
from dotally.experiment.wandb_session import Mode
from dotally.files import sha256


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the machine at hand decides, and no result depends on.

    Attributes:
        data_root: Where the data sets are; None asks DOTALLY_DATA_ROOT.
        runs: Folder of the runs.
        workers: Processes that load pictures.
        accelerator: As Lightning's Trainer takes it.
        devices: How many train a run, sharing its batches; the test split is read on one whatever this says.
        deterministic: Whether PyTorch refuses operations whose bits differ from run to run, as some do on a GPU.
        progress: Whether to show progress bars.
        wandb: Whether runs are mirrored to Weights & Biases, and whether over the network.
    """

    data_root: str | None = None
    runs: Path = Path("runs")
    workers: int = 0
    accelerator: str = "auto"
    devices: int = 1
    deterministic: bool = False
    progress: bool = True
    wandb: Mode = "off"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One cell at one seed, with its identity."""

    table: str
    cell: Run | Trivial
    seed: int
    spec: dict[str, Any]
    fingerprint: str
    key: str
    folder: RunFolder

    @property
    def name(self) -> str:
        """``row.column seed k``, for people."""
        return f"{self.cell.cell} seed {self.seed}"


def plan(table: str, cell: Run | Trivial, seed: int, options: Options) -> Job:
    """Work out who a run is and where it lives; reads the annotations of its data.

    Raises:
        DataError: If the data set or the weights are not there.
    """
    spec = identity.resolved_spec(cell)
    fingerprint = data_module(cell, seed, options).fingerprint()
    if isinstance(cell, Run) and cell.weights:
        fingerprint = identity.digest([fingerprint, sha256(find_weights(cell.weights, options))])
    key = identity.run_key(spec, fingerprint, seed)
    folder = RunFolder(options.runs / table / cell.cell / f"seed{seed}-{key[:8]}")
    return Job(table=table, cell=cell, seed=seed, spec=spec, fingerprint=fingerprint, key=key, folder=folder)


def data_module(cell: Run | Trivial, seed: int, options: Options) -> Data:
    """Build a cell's data module for the machine at hand; the run's seed decides order and crops."""
    data = cell.data(data_root=options.data_root, num_workers=options.workers, seed=seed)
    return on_test(data) if cell.protocol == "test-best" else data


def on_test(data: Data) -> Data:
    """Let a data module choose on its test split and train on what would have validated, as many published codes did.

    Raises:
        DotallyError: If it is not one of counting, for which alone this is needed.
    """
    if not isinstance(data, CrowdDataModule):
        raise DotallyError("protocol='test-best' is for counting")
    usual = data.dataset

    def dataset(split: Split, augmentation: Augmentation | None = None) -> CrowdDataset:
        if split == "val":
            return usual("test", augmentation)
        found = usual(split, augmentation)
        if split == "train":
            found.records += usual("val").records
        return found

    data.dataset = dataset  # type: ignore[method-assign]
    return data


def find_weights(name: str, options: Options) -> Path:
    """Return the path of a published weights file below one of the data roots."""
    roots = data_roots(options.data_root)
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise DataError(f"no weights {name} below {', '.join(map(str, roots))}: put the published file there")
