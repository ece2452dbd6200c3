"""Fixtures of the data tests: data sets fabricated in their real layout."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

# loaded by path, because in importlib mode test modules cannot import each other
_FABRICATOR = runpy.run_path(str(Path(__file__).with_name("shanghaitech_tree.py")))


@pytest.fixture(scope="session")
def shanghaitech_tree() -> Callable[..., Path]:
    """``shanghaitech_tree(folder, release="part_A"|"final", parts=..., train=4, test=3, size=(96, 128))``."""
    return _FABRICATOR["shanghaitech_tree"]


@pytest.fixture(scope="session")
def write_points() -> Callable[..., None]:
    """``write_points(path, points)``: one ShanghaiTech mat file."""
    return _FABRICATOR["write_points"]
