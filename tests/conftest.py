"""Fixtures for every test. Triton interprets its kernels here, unless a GPU is there to run them."""

import os

import pytest
import torch

# Triton reads this when it is first imported, and Lightning imports Triton
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
# no test may reach Weights & Biases or find a cluster by accident
os.environ["WANDB_MODE"] = "offline"
for name in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[name]


import runpy  # noqa: E402  (the environment has to be set before anything imports Triton)
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

# loaded by path, because in importlib mode test modules cannot import each other
FABRICATED = runpy.run_path(str(Path(__file__).with_name("fabricated.py")))


@pytest.fixture(scope="session")
def shanghaitech_tree() -> Callable[..., Path]:
    """``shanghaitech_tree(folder, release="part_A"|"final", parts=..., train=4, test=3, size=(96, 128))``."""
    return FABRICATED["shanghaitech_tree"]


@pytest.fixture(scope="session")
def write_points() -> Callable[..., None]:
    """``write_points(path, points)``: one ShanghaiTech mat file."""
    return FABRICATED["write_points"]


@pytest.fixture(scope="session")
def write_mcnn_h5() -> Callable[..., None]:
    """``write_mcnn_h5(path, model)``: published MCNN weights."""
    return FABRICATED["write_mcnn_h5"]


@pytest.fixture
def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill what kernels are to write with NaN, or a number out of every range, so that no unwritten cell can pass."""

    def poisoned(allocate: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def allocated(*a: object, **k: object) -> torch.Tensor:
            memory = allocate(*a, **k)
            return memory.fill_(float("nan") if memory.is_floating_point() else 1 << 29)

        return allocated

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, poisoned(getattr(torch, name)))


@pytest.fixture
def data_root() -> list[Path]:
    """The real data sets; tests that ask for them are skipped where there are none."""
    roots = [Path(root) for root in os.environ.get("DOTALLY_DATA_ROOT", "").split(os.pathsep) if root]
    if not roots:
        pytest.skip("DOTALLY_DATA_ROOT is not set: this test reads real data sets")
    return roots


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
