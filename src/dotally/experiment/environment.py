"""What a run was made with: versions, machine, commit, and the patch of a dirty tree."""

import os
import platform
import subprocess
import sys
from collections.abc import Container
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[3]
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "triton", "numpy", "scipy", "pillow", "h5py", "wandb")


def environment() -> dict[str, Any]:
    """Return versions, device, threads and commit as plain values; nothing in it names a person or a path."""
    cuda = torch.cuda.is_available()
    return {
        "dotally": _version("dotally"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(patch()),
    }


def processor() -> str:
    """Return the model of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def patch(root: Path = ROOT) -> str:
    """Return uncommitted changes and new modules as a patch; empty for a clean tree or no checkout.

    Committed results are left out: a run that publishes one must not make the next one dirty.
    """
    results = (":!experiments/results", ":!benchmarks/results")
    changed = _git("diff", "HEAD", "--", ".", *results, ":!*.md", ":!docs", root=root)
    added = _git("ls-files", "--others", "--exclude-standard", "--", "*.py", root=root) or ""
    # which differ from nothing, and that is an exit code of 1
    new = [_git("diff", "--no-index", "--", os.devnull, name, root=root, fine=(0, 1)) for name in added.splitlines()]
    return "\n".join(part for part in [changed, *new] if part)


def command() -> str:
    """Return how the program was started, the script by its name alone."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str, root: Path = ROOT, fine: Container[int] = (0,)) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except (OSError, UnicodeDecodeError):
        return None
    # a patch may end in a line of one blank, which belongs to it
    return result.stdout.strip("\n") if result.returncode in fine else None
