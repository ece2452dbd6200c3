"""`make gpu`: one command in a given time that goes on where it stopped, and needs neither wandb nor jsonargparse."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import STOPPED, Log, Step

ROOT = Path(__file__).parents[1]
BLOCKED = "import sys\nsys.modules['wandb'] = sys.modules['jsonargparse'] = None\n"


@pytest.fixture
def without_extras(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python cannot import wandb or jsonargparse, and sees no data sets."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCKED)
    paths = os.pathsep.join(map(str, (tmp_path / "blocked", ROOT / "src", ROOT)))
    kept = {name: value for name, value in os.environ.items() if name != "DOTALLY_DATA_ROOT"}
    return kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def command(name: str, code: str, **options: object) -> Step:
    return Step(name=name, command=["-c", code], **options)


def a_log(out: Path, **changed: object) -> Log:
    return Log(out, **{"dry": False, "environment": {"commit": "c0ffee"}, **changed})


def test_a_step_s_words_code_and_last_line_are_kept(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    assert gpu.run(command("one", "print('first'); print('a | b'); raise SystemExit(3)"), log, 60) == 3
    assert (tmp_path / "one.log").read_text().splitlines()[1:] == ["first", "a | b"]
    assert json.loads((tmp_path / "state.json").read_text())["steps"]["one"]["code"] == 3
    assert "| one | 3 |" in (tmp_path / "summary.md").read_text()
    assert "a / b |" in (tmp_path / "summary.md").read_text()


def test_a_step_whose_time_is_up_may_write_down_what_it_has(tmp_path: Path) -> None:
    waits = "import time\nprint('begun', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('kept')"
    assert gpu.run(command("long", waits), a_log(tmp_path), 1.0) == STOPPED
    assert (tmp_path / "long.log").read_text().endswith("begun\nkept\n")


def test_a_step_that_does_not_stop_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "GRACE", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    assert gpu.run(command("stubborn", stubborn), a_log(tmp_path), 1.0) == STOPPED


def test_a_second_call_leaves_out_what_ended_by_itself(tmp_path: Path) -> None:
    once = command("once", "print('done')", once=True)
    end = time.monotonic() + 60
    assert gpu._do(once, a_log(tmp_path), end, 60) == 0
    (tmp_path / "once.log").unlink()
    assert gpu._do(once, a_log(tmp_path), end, 60) == 0
    assert not (tmp_path / "once.log").exists()


@pytest.mark.parametrize("changed", [{"dry": True}, {"environment": {"commit": "decade"}}])
def test_what_was_done_otherwise_is_done_again(tmp_path: Path, changed: dict[str, object]) -> None:
    once = command("once", "print('done')", once=True)
    gpu.run(once, a_log(tmp_path, **changed), 60)
    assert a_log(tmp_path, **changed).ended(once)
    assert not a_log(tmp_path).ended(once)


def test_a_step_leaves_time_to_those_after_it(tmp_path: Path) -> None:
    late = command("late", "print('never')", share=0.4)
    assert gpu._do(late, a_log(tmp_path), time.monotonic() + 30, 60) == STOPPED
    assert not (tmp_path / "late.log").exists()


def test_the_whole_is_tests_then_benchmarks_then_the_table_seed_by_seed(tmp_path: Path) -> None:
    planned = gpu.steps(tmp_path, dry=False, workers=4, parts="AB")
    tables = [f"table_seed{seed}" for seed in gpu.SEEDS]
    assert [step.name for step in planned] == ["tests", "benchmarks", "cold", *tables]
    assert all("--resume" in step.command for step in planned[1:3])
    assert [step.share for step in planned] == sorted(step.share for step in planned)
    assert all((ROOT / step.command[0]).is_file() for step in planned[3:])


@pytest.mark.parametrize("parts", ["", "A", "AB"])
def test_the_table_is_that_of_the_parts_at_hand(
    parts: str, tmp_path: Path, shanghaitech_tree: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = shanghaitech_tree(tmp_path / "data", parts=tuple(parts)) if parts else tmp_path
    monkeypatch.setenv("DOTALLY_DATA_ROOT", str(tree))
    code, answer = gpu._ask(gpu._FIND)
    assert (code, answer) == (0, parts) if parts else code == 1 and "ShanghaiTech" in answer
    command = gpu.steps(tmp_path, dry=False, workers=0, parts="" if code else answer)[-1].command
    assert command[0] == (gpu.TABLE if parts else gpu.STAND_IN)
    assert ("*.A" in command) == (parts == "A")


def test_only_files_with_tests_for_a_gpu_are_collected() -> None:
    files = gpu.gpu_tests()
    assert "tests/triton_kernels/test_density_kernel.py" in files
    assert "tests/test_fit_record.py" not in files  # which imports wandb


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_dry_form_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--out", str(tmp_path)]) == 2
    assert "make gpu DRY=1" in capsys.readouterr().err


def test_a_table_needs_neither_wandb_nor_jsonargparse(without_extras: dict[str, str]) -> None:
    shown = subprocess.run(
        [sys.executable, gpu.TABLE, "--show", "csrnet-slim.B"],
        cwd=ROOT,
        env=without_extras,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["max_epochs"] == 60


@pytest.mark.slow
def test_the_dry_form_goes_through_without_wandb_and_jsonargparse(
    without_extras: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        ["make", "gpu", "DRY=1", f"OUT={out}", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        env=without_extras,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    codes = {name: step["code"] for name, step in json.loads((out / "state.json").read_text())["steps"].items()}
    assert codes == {"tests": 0, "benchmarks": 0, "table": 0}
    assert json.loads((out / "benchmarks.json").read_text())["results"]
