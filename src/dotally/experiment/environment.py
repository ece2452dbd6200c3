"""What a run was made with: versions, machine, commit, and the patch of a dirty tree."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "triton", "numpy", "scipy", "pillow", "h5py", "wandb")


def environment() -> dict[str, Any]:
    """Return versions, device, threads and commit as plain values; nothing in it names a person or a path."""
    cuda = torch.cuda.is_available()
    return {
        "dotally": _version("dotally"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(patch()),
    }


def patch() -> str:
    """Return the uncommitted changes to tracked source as a patch; empty for a clean tree or no checkout.

    Committed results are left out: a run that publishes one must not make the next one dirty.
    """
    return _git("diff", "HEAD", "--", ".", ":!experiments/results", ":!*.md", ":!docs") or ""


def command() -> str:
    """Return how the program was started, the script by its name alone."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        folder = Path(__file__).parents[3]
        result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
