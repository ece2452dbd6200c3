import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from dotally import doctor
from dotally.doctor import Finding, checkup, exit_code, render

CPU: dict[str, object] = {"cuda": None, "threads": 2, "devices": []}
GPU: dict[str, object] = {"cuda": "13.0", "threads": 16, "devices": ["NVIDIA H200"]}


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Isolate from this machine: an empty home and folder, plenty of disk, no W&B, and PyTorch answers at once."""
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC", "DOTALLY_DATA_ROOT"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=500e9))
    answer_torch(monkeypatch, CPU)
    return tmp_path


class Disk(NamedTuple):
    free: float


def answer_torch(monkeypatch: pytest.MonkeyPatch, answer: dict[str, object] | None) -> None:
    ask: Callable[[str], tuple[str | None, str]] = getattr(doctor._ask, "real", doctor._ask)

    def stand_in(code: str) -> tuple[str | None, str]:
        if code != doctor.TORCH_PROBE:
            return ask(code)
        return (json.dumps(answer), "") if answer else (None, "OSError: libcudart.so.13 is missing")

    stand_in.real = ask  # type: ignore[attr-defined]
    monkeypatch.setattr(doctor, "_ask", stand_in)


def pretend_versions(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    real = metadata.version

    def version(name: str) -> str:
        found = versions[name.replace("-", "_")] if name.replace("-", "_") in versions else real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def install_fake(monkeypatch: pytest.MonkeyPatch, folder: Path, package: str, source: str) -> None:
    """Put a package where this process and its children find it first."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text(source)
    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.syspath_prepend(folder)


def about(pattern: str, findings: list[Finding]) -> Finding:
    (found,) = [finding for finding in findings if re.search(pattern, finding.what)]
    return found


def test_pytorch_is_asked_for_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ask", doctor._ask.real)  # type: ignore[attr-defined]
    expected = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    assert expected in about("^device", checkup()).what


def test_every_problem_has_a_fix_and_everything_fits_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_versions(monkeypatch, torch="2.15.0", pytorch_lightning="2.6.3", numpy=None, wandb=None)
    answer_torch(monkeypatch, None)
    findings = checkup([Path("nowhere")])
    assert all(bool(finding.fix) == (finding.level != "ok") for finding in findings)
    assert len(render(findings).splitlines()) == len(findings) + 1


def test_rendering_and_exit_code() -> None:
    findings = [Finding("ok", "fine"), Finding("warn", "odd", "do this"), Finding("error", "broken", "do that")]
    assert render(findings).splitlines() == [
        "ok     fine",
        "warn   odd  ->  do this",
        "error  broken  ->  do that",
        "errors: 1, warnings: 1",
    ]
    assert [exit_code(findings), exit_code(findings[:2]), exit_code([])] == [1, 0, 0]


@pytest.mark.parametrize("release", ["2.6.2", "2.6.3"])
@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning"])
def test_releases_that_steal_credentials_are_errors(
    monkeypatch: pytest.MonkeyPatch, package: str, release: str
) -> None:
    pretend_versions(monkeypatch, **{package: release})
    finding = about("steals credentials", checkup())
    assert finding.level == "error"
    assert release in finding.what


def test_versions_outside_the_range_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_versions(monkeypatch, torch="2.15.0")
    finding = about("torch 2.15.0", checkup())
    assert finding.level == "error"
    assert "<2.14" in finding.fix


def test_local_builds_are_inside_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_versions(monkeypatch, torch="2.13.0+cpu")
    assert about(r"^torch 2.13.0\+cpu", checkup()).level == "ok"


def test_missing_requirements_are_errors_only_where_all_depends_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_versions(monkeypatch, torchmetrics=None, matplotlib=None)
    findings = checkup()
    assert about("^torchmetrics", findings).level == "error"
    assert about("^matplotlib", findings).level == "warn"
    assert "figures" in about("^matplotlib", findings).what


def test_broken_torchvision_is_found_and_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    complaint = "operator torchvision::nms does not exist"
    install_fake(monkeypatch, tmp_path / "site", "torchvision", f"raise RuntimeError('{complaint}')")
    pretend_versions(monkeypatch, torchvision="0.28.0")
    finding = about("^torchvision", checkup())
    assert finding.level == "error"
    assert complaint in finding.what
    assert finding.fix.startswith("pip uninstall torchvision")


def test_torchvision_that_ends_the_process_is_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, tmp_path / "site", "torchvision", "import os; os.abort()")
    assert about("^torchvision", checkup()).level == "error"


def test_torchvision_that_works_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, tmp_path / "site", "torchvision", "")
    assert about("^torchvision", checkup()).level == "ok"


def test_torch_that_cannot_be_imported_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_torch(monkeypatch, None)
    finding = about("PyTorch cannot be imported", checkup())
    assert finding.level == "error"
    assert "libcudart" in finding.what


def test_cpu_build_beside_a_driver_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert about("^device", checkup()).level == "warn"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert about("^device", checkup()).level == "ok"


def test_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_torch(monkeypatch, GPU)
    assert about("^device", checkup()).what == "device: NVIDIA H200 (CUDA 13.0 build of PyTorch)"


def test_triton_on_a_gpu_needs_a_compiler_and_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_torch(monkeypatch, GPU)
    monkeypatch.setenv("CC", "gcc")
    assert about("^Triton", checkup()).level == "ok"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert about("^Triton", checkup()).fix == "unset TRITON_INTERPRET"
    monkeypatch.delenv("TRITON_INTERPRET")
    monkeypatch.delenv("CC")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "gcc" in about("^Triton", checkup()).fix
    pretend_versions(monkeypatch, triton=None)
    assert about("^Triton", checkup()).level == "error"


def test_triton_without_a_gpu_is_for_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "interpreter only" in about("^Triton", checkup()).what
    pretend_versions(monkeypatch, triton=None)
    assert about("^Triton", checkup()).level == "ok"


def test_foreign_kernels_are_found_without_running_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, tmp_path / "site", "triton_kernels", "raise SystemExit('was run')")
    finding = about("^triton_kernels", checkup())
    assert finding.level == "error"
    assert "another project" in finding.what


def test_read_only_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    finding = about("nothing can be written", checkup())
    assert finding.level == "error"
    assert "Permission denied" in finding.what


@pytest.mark.parametrize(("gigabytes", "level"), [(0.5, "error"), (5, "warn"), (50, "ok")])
def test_free_disk(monkeypatch: pytest.MonkeyPatch, gigabytes: float, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=gigabytes * 1e9))
    assert about("GB free", checkup()).level == level


def test_data_roots_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert about("no data root", checkup()).level == "warn"
    monkeypatch.setenv("DOTALLY_DATA_ROOT", os.pathsep.join([str(tmp_path), str(tmp_path / "gone")]))
    findings = [finding for finding in checkup() if "data root" in finding.what]
    assert [finding.level for finding in findings] == ["ok", "error"]


def test_data_sets_below_the_roots_are_named(tmp_path: Path) -> None:
    finding = about("^data sets", checkup([tmp_path]))
    assert finding.level == "ok"
    found, absent = finding.what.split("; absent: ")
    assert "synthetic" in found
    assert "shanghaitech" in absent


def wandb_line() -> Finding:
    return about("^W&B", checkup())


def test_wandb_is_offline_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb_line().what == "W&B: offline; not logged in"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_line().what.startswith("W&B: off ")


def test_wandb_online_without_a_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wandb_line().level == "error"
    assert "wandb login" in wandb_line().fix


def test_wandb_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    monkeypatch.setenv("WANDB_ENTITY", "our-team")
    assert wandb_line().what == "W&B: online as our-team"
    assert "0123456789" not in render(checkup())


@pytest.mark.parametrize(("login", "name"), [("user", "the owner of the key"), ("ada", "ada")])
def test_wandb_key_in_netrc(monkeypatch: pytest.MonkeyPatch, machine: Path, login: str, name: str) -> None:
    (machine / "netrc").write_text(f"machine api.wandb.ai\n  login {login}\n  password 0123456789\n")
    monkeypatch.setenv("NETRC", str(machine / "netrc"))
    assert wandb_line().what == f"W&B: offline; logged in as {name}"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert wandb_line().what == "W&B: offline; not logged in", "the key is another server's"


def test_damaged_netrc_is_no_key(monkeypatch: pytest.MonkeyPatch, machine: Path) -> None:
    (machine / "netrc").write_text("nonsense here")
    monkeypatch.setenv("NETRC", str(machine / "netrc"))
    assert wandb_line().what == "W&B: offline; not logged in"


def test_unknown_wandb_mode_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    assert "online, offline or disabled" in wandb_line().fix


def test_runs_where_nothing_is_installed() -> None:
    """Python alone, without site-packages: every requirement is missing, and the report still comes."""
    source = Path(doctor.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r})\n"
        "from dotally.doctor import checkup, exit_code, render\n"
        "findings = checkup([]); print(render(findings)); sys.exit(exit_code(findings))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "the requirements are not installed  ->  pip install -r requirements.txt" in done.stdout
