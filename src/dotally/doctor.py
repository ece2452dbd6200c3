"""What is installed, found and missing, each problem with its fix.

Nothing heavy is imported here: PyTorch is asked in a process of its own, so that a broken installation, the very thing
to be diagnosed, cannot take the diagnosis down with it.
"""

import importlib.util
import json
import netrc
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

Level = Literal["ok", "warn", "error"]

INSTALL = "pip install -r requirements.txt"
OLDEST_PYTHON = (3, 11)
# published with credential-stealing code: GHSA-w37p-236h-pfx3
STOLEN_RELEASES = {"pytorch-lightning": ("2.6.2", "2.6.3"), "lightning": ("2.6.2", "2.6.3")}
# imported only where they are needed; everything else works without them
LATE = {
    "jsonargparse": "dotally fit, validate and test",
    "matplotlib": "figures and overlays",
    "rich": "progress bars and tables in the terminal",
    "triton": "operators on CUDA",
    "wandb": "the mirror of runs in Weights & Biases",
}
# a run's checkpoints and pictures take up to 1 GB
SCARCE_DISK_GB, LITTLE_DISK_GB = 1, 10
PROBE_SECONDS = 120
TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "cuda": torch.version.cuda,
    "threads": torch.get_num_threads(),
    "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
}))
"""
DATA_PROBE = """
import json
from pathlib import Path
from dotally.data.catalogue import CATALOGUE
print(json.dumps({data_set.name: data_set.find([Path(root) for root in ROOTS]) for data_set in CATALOGUE}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        level: "ok"; "warn" for what limits but does not stop; "error" for what will fail.
        what: What was found, one line.
        fix: What to type or change, one line; empty when there is nothing to do.
    """

    level: Level
    what: str
    fix: str = ""


def checkup(roots: Sequence[Path] | None = None) -> list[Finding]:
    """Look at everything a run depends on, without network access; some seconds, most of them PyTorch's import.

    Args:
        roots: Folders that hold data sets; None reads DOTALLY_DATA_ROOT.

    Returns:
        Findings, in the order in which they should be put right.
    """
    if roots is None:
        named = os.environ.get("DOTALLY_DATA_ROOT", "").split(os.pathsep)
        roots = [Path(root).expanduser() for root in named if root.strip()]
    answer, complaint = _ask(TORCH_PROBE)
    torch = json.loads(answer) if answer else {}
    return [
        _python(),
        *_stolen(),
        *_requirements(),
        *_torchvision(),
        _device(torch, complaint),
        _triton(cuda=bool(torch.get("devices"))),
        _kernels(),
        *_folder(Path.cwd()),
        *_data(roots),
        _wandb(),
    ]


def render(findings: Sequence[Finding]) -> str:
    """Return one line per finding, problems with their fix, and a last line that sums up."""
    lines = [f"{f.level:5}  {f.what}" + (f"  ->  {f.fix}" if f.fix else "") for f in findings]
    errors, warnings = (sum(f.level == level for f in findings) for level in ("error", "warn"))
    return "\n".join([*lines, f"errors: {errors}, warnings: {warnings}"])


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 when there is any error, else 0."""
    return int(any(finding.level == "error" for finding in findings))


def _python() -> Finding:
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding("error", f"Python {platform.python_version()} is too old", f"use {oldest} or newer")
    return Finding("ok", f"Python {platform.python_version()} on {platform.platform()}")


def _requirements() -> Iterator[Finding]:
    """Compare what is installed with what requirements.txt, or the installed package, asks for."""
    try:
        # packaging comes with Lightning, so it is missing exactly where the requirements are
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding("error", "the requirements are not installed", INSTALL)
        return
    requirements = [Requirement(line) for line in _requirement_lines()]
    if not requirements:
        yield Finding("warn", "dotally's requirements are unknown: it is not installed", "pip install -e .")
    for requirement in requirements:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _requirement(requirement.name, requirement.specifier)


def _requirement_lines() -> list[str]:
    listed = Path(__file__).parents[2] / "requirements.txt"
    if listed.is_file():
        return [line for line in listed.read_text(encoding="utf-8").splitlines() if re.match(r"\w", line)]
    try:
        return metadata.requires("dotally") or []
    except metadata.PackageNotFoundError:
        return []


def _requirement(name: str, allowed: "SpecifierSet") -> Finding:
    version = _version(name)
    if version is None and name in LATE:
        return Finding("warn", f"{name} is missing: no {LATE[name]}", INSTALL)
    if version is None:
        return Finding("error", f"{name} is missing", INSTALL)
    if not allowed.contains(version, prereleases=True):
        return Finding("error", f"{name} {version} is outside {allowed}", f"pip install '{name}{allowed}'")
    return Finding("ok", f"{name} {version}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _stolen() -> Iterator[Finding]:
    for name, releases in STOLEN_RELEASES.items():
        if (version := _version(name)) in releases:
            yield Finding(
                "error",
                f"{name} {version} was published with code that steals credentials (GHSA-w37p-236h-pfx3)",
                f"pip uninstall {name}, {INSTALL}, and replace every password and key this machine knows",
            )


def _torchvision() -> Iterator[Finding]:
    """Lightning and torchmetrics import torchvision where they find it, and fail when it does not fit the PyTorch."""
    if importlib.util.find_spec("torchvision") is None:
        return
    version = _version("torchvision") or "of unknown version"
    answer, complaint = _ask("import torchvision")
    if answer is not None:
        yield Finding("ok", f"torchvision {version} imports; dotally does not use it")
    else:
        what = f"torchvision {version} is broken and takes Lightning with it ({complaint})"
        yield Finding("error", what, "pip uninstall torchvision: dotally does not use it")


def _ask(code: str) -> tuple[str | None, str]:
    """Run Python code in a process of its own; return its output, None if it failed, and the last line of its error."""
    # the same path, so that both find the same packages
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PROBE_SECONDS} s"
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return (None if done.returncode else done.stdout), lines[-1]


def _device(torch: dict[str, Any], complaint: str) -> Finding:
    if not torch:
        return Finding("error", f"PyTorch cannot be imported: {complaint}", INSTALL)
    build = f"CUDA {torch['cuda']}" if torch["cuda"] else "CPU"
    if torch["devices"]:
        return Finding("ok", f"device: {', '.join(torch['devices'])} ({build} build of PyTorch)")
    what = f"device: CPU, {torch['threads']} threads ({build} build of PyTorch)"
    if shutil.which("nvidia-smi"):
        fix = "install the CUDA build for this driver as pytorch.org says"
        return Finding("warn", f"{what}, though an NVIDIA driver is here", fix)
    return Finding("ok", what)


def _triton(cuda: bool) -> Finding:
    if not cuda:
        how = "in its interpreter only" if _version("triton") else "not at all"
        return Finding("ok", f"Triton: runs {how}, as there is no CUDA device; operators run without it on the CPU")
    if not _version("triton"):
        return Finding("error", "Triton is missing, which every operator needs on CUDA", INSTALL)
    if os.environ.get("TRITON_INTERPRET", "0") not in ("", "0"):
        return Finding("warn", "Triton interprets its kernels, thousands of times slower", "unset TRITON_INTERPRET")
    if not (os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        return Finding("error", "Triton finds no C compiler to build its launcher with", "install gcc or set CC")
    return Finding("ok", "Triton: runs on the CUDA device")


def _kernels() -> Finding:
    """Look whose ``triton_kernels`` would be imported, without running a line of it."""
    spec = importlib.util.find_spec("triton_kernels")
    if spec is None:
        return Finding("error", "the package triton_kernels is missing", "pip install -e . in dotally's folder")
    source = Path(spec.origin).read_text(encoding="utf-8") if spec.origin else ""
    if re.search(r'^OWNER = "dotally"$', source, re.MULTILINE):
        return Finding("ok", "triton_kernels is dotally's")
    where = spec.origin or ", ".join(spec.submodule_search_locations or [])
    what = f"triton_kernels comes from another project ({where})"
    return Finding("error", what, "pip uninstall triton_kernels, or an environment of its own for dotally")


def _folder(folder: Path) -> Iterator[Finding]:
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        fix = "change to a folder of yours, or free some space"
        yield Finding("error", f"nothing can be written to {folder}: {error.strerror}", fix)
    free = shutil.disk_usage(folder).free / 1e9
    level: Level = "error" if free < SCARCE_DISK_GB else "warn" if free < LITTLE_DISK_GB else "ok"
    fix = "" if level == "ok" else f"free some: a run writes up to {SCARCE_DISK_GB} GB"
    yield Finding(level, f"{free:.1f} GB free in {folder}", fix)


def _data(roots: Sequence[Path]) -> Iterator[Finding]:
    if not roots:
        yield Finding("warn", "no data root is set", "export DOTALLY_DATA_ROOT=FOLDER, see `dotally data list`")
        return
    for root in roots:
        if root.is_dir():
            yield Finding("ok", f"data root {root}")
        else:
            yield Finding("error", f"data root {root} does not exist", "create it or correct DOTALLY_DATA_ROOT")
    answer, complaint = _ask(f"ROOTS = {[str(root) for root in roots if root.is_dir()]!r}{DATA_PROBE}")
    if answer is None:
        yield Finding("error", f"the data sets cannot be looked for: {complaint}", INSTALL)
        return
    here: dict[str, list[str]] = json.loads(answer)
    found, absent = (", ".join(n for n, parts in here.items() if bool(parts) == wanted) for wanted in (True, False))
    yield Finding("ok", f"data sets found: {found or 'none'}; absent: {absent or 'none'} (see `dotally data list`)")


def _wandb() -> Finding:
    mode = os.environ.get("WANDB_MODE") or "offline"
    if mode in ("disabled", "off"):
        return Finding("ok", f"W&B: off (WANDB_MODE={mode})")
    if _version("wandb") is None:
        return Finding("ok", "W&B: off, as wandb is not installed")
    name = _wandb_name()
    if mode == "online" and name is None:
        fix = "wandb login, or WANDB_MODE=offline"
        return Finding("error", "W&B: online is asked for, but there is no key", fix)
    if mode == "online":
        return Finding("ok", f"W&B: online as {name}")
    if mode != "offline":
        return Finding("error", f"W&B: WANDB_MODE={mode} is unknown", "WANDB_MODE=online, offline or disabled")
    return Finding("ok", f"W&B: offline; {f'logged in as {name}' if name else 'not logged in'}")


def _wandb_name() -> str | None:
    """Return whose key lies ready, without asking the server; None when there is none."""
    owner = os.environ.get("WANDB_ENTITY") or os.environ.get("WANDB_USERNAME") or "the owner of the key"
    if os.environ.get("WANDB_API_KEY"):
        return owner
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    path = Path(os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc"))
    try:
        login = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    # W&B itself writes the login "user" for everybody
    return None if login is None else owner if login[0] == "user" else login[0]
