"""A tiny network as a real checkpoint, and a counter made of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer

from dotally import Counter
from dotally.tasks import CountingTask, LocalizationTask


def tiny_task() -> CountingTask:
    """A CSRNet of 1/32 of the width with weights that give every picture some heads."""
    torch.manual_seed(0)
    task = CountingTask(model="csrnet", model_kwargs={"width": 1 / 32, "init": "he"})
    # pull every cell above 0, whatever the random weights made of it
    with torch.no_grad():
        task.model.output_layer.weight.abs_().mul_(0.01)
        task.model.output_layer.bias.fill_(0.02)
    return task


def save_checkpoint(task: LightningModule, path: Path) -> Path:
    trainer = Trainer(logger=False, accelerator="cpu", enable_model_summary=False, enable_progress_bar=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture
def task() -> CountingTask:
    return tiny_task()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tiny_task(), tmp_path_factory.mktemp("weights") / "best.ckpt")


@pytest.fixture(scope="session")
def nan_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = tiny_task()
    with torch.no_grad():
        task.model.output_layer.bias.fill_(float("nan"))
        task.densest.fill_(float("nan"))
    return save_checkpoint(task, tmp_path_factory.mktemp("weights") / "nan.ckpt")


@pytest.fixture
def counter(checkpoint: Path) -> Counter:
    return Counter.load(checkpoint, device="cpu")


@pytest.fixture
def picture() -> np.ndarray:
    """[64, 80, 3], sides that are multiples of the stride."""
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((40, 60, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="session")
def shapes_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of eight classes with random weights, as Lightning saves it with its data module."""
    torch.manual_seed(0)
    task = LocalizationTask(model="shapes_net", model_kwargs={"width": 0.5})
    path = save_checkpoint(task, tmp_path_factory.mktemp("weights") / "shapes.ckpt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "datamodule_hyper_parameters": {"framing": "warp", "side": 64}}, path)
    return path
