"""Imports point one way: triton_kernels <- ops <- nn <- models, stnet <- tasks <- experiment <- experiments/."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# what each part may import of the project, besides itself
ALLOWED: dict[str, set[str]] = {
    "triton_kernels": set(),
    "ops": {"triton_kernels"},
    "nn": {"ops"},
    "models": {"ops", "nn"},
    "stnet": {"ops", "nn", "models"},
    "metrics": {"ops"},
    "losses": set(),
    "data": {"ops"},
    "baselines": {"metrics"},
    "tasks": {"ops", "nn", "models", "stnet", "metrics", "losses", "data"},
    # without tasks: prediction starts without Lightning
    "predict": {"ops", "models", "stnet", "data", "metrics"},
    "callbacks": {"ops", "data", "metrics", "tasks"},
    "training": {"ops", "models", "data", "metrics", "tasks", "callbacks", "predict", "experiment"},
    "experiment": {
        "ops",
        "models",
        "stnet",
        "data",
        "metrics",
        "losses",
        "baselines",
        "tasks",
        "callbacks",
        "predict",
    },
}
# seen by all: they import nothing of the project themselves
COMMON = {"arguments", "errors", "files", "lazy", "version"}


def part_of(module: str) -> str | None:
    """Return the part of the house a module belongs to, None for foreign modules."""
    names = module.split(".")
    if names[0] == "triton_kernels":
        return "triton_kernels"
    return names[1] if names[0] == "dotally" and len(names) > 1 else None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "triton_kernels").glob("**/*.py")):
        yield "triton_kernels", path
    for path in sorted((ROOT / "src/dotally").glob("**/*.py")):
        part = path.relative_to(ROOT / "src/dotally").parts[0].removesuffix(".py")
        if part in ALLOWED:
            yield part, path


@pytest.mark.parametrize(("part", "path"), list(sources()), ids=lambda value: getattr(value, "name", value))
def test_imports_point_one_way(part: str, path: Path) -> None:
    used = {part_of(module) for module in imports(path)} - {None, part} - COMMON
    assert used <= ALLOWED[part], f"{path.relative_to(ROOT)} must not import {sorted(used - ALLOWED[part])}"


def test_kernels_import_nothing_but_torch_and_triton() -> None:
    for path in (ROOT / "triton_kernels").glob("**/*.py"):
        assert {name.split(".")[0] for name in imports(path)} <= {"torch", "triton", "triton_kernels"}


def test_nothing_imports_torchvision() -> None:
    for folder in ("src", "triton_kernels", "experiments", "benchmarks"):
        for path in (ROOT / folder).glob("**/*.py"):
            assert not any(name.split(".")[0] in {"torchvision", "timm"} for name in imports(path)), path
