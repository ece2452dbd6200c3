"""All that a machine with a GPU is wanted for, in one command and a given time; ``make gpu`` calls it.

    python -m benchmarks.gpu --minutes 25 --out runs/gpu     # tests, benchmarks, then the ShanghaiTech table
    python -m benchmarks.gpu --dry                           # the same with tiny work, on any machine

Tests marked ``gpu`` come first, then every benchmark (and the Gaussian convolution with cold caches), then table 5 seed
by seed until the time is up. Everything is written as it comes: a log of each step, ``summary.md`` and ``state.json``
after each, ``benchmarks.json`` case by case, runs with their checkpoints below ``runs``. The same command goes on where
the last one was stopped. It needs this checkout, PyTorch and what pytest and the tests import, no network, no
installation, neither wandb nor jsonargparse. ``benchmarks.run --publish-record`` puts ``benchmarks.json`` on the page.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE, STAND_IN = "experiments/csrnet_table5_shanghaitech.py", "experiments/synthetic_crowd.py"
SEEDS = (0, 1, 2)
GRACE = 60.0  # seconds that a step gets to write down what it has, after its time is up
STOPPED = "stopped"
# Which parts of ShanghaiTech are here? Which device is it?
_FIND = """
from dotally.data.roots import data_roots
from dotally.data.shanghaitech_files import PARTS, find_part
from dotally.errors import DataError
found = ""
for part in PARTS:
    try:
        find_part(data_roots(), part)
        found += part
    except DataError as error:
        reason = str(error).splitlines()[0]
raise SystemExit(print(found) if found else reason)
"""
_DESCRIBE = "import json; from dotally.experiment.environment import environment; print(json.dumps(environment()))"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command of the whole.

    Attributes:
        name: Of its log, and in the summary.
        command: Arguments of this Python.
        share: Of the whole time that may have passed when it is stopped.
        once: Whether it is left out where it ended by itself before; the others know what they have done.
    """

    name: str
    command: list[str]
    share: float = 1.0
    once: bool = False


def steps(out: Path, *, dry: bool, workers: int, parts: str) -> list[Step]:
    """Return what is to be done, in order.

    Args:
        out: Folder of the results.
        dry: Tiny work instead, which any machine does in minutes.
        workers: Processes that load pictures.
        parts: Of ShanghaiTech that are there, such as "AB"; without any, the synthetic crowd's table stands in.
    """
    tests = ["-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={out / 'tests.xml'}", *gpu_tests()]
    measure = ["-m", "benchmarks.run", "--out", str(out / "benchmarks.json")]
    cold = ["-m", "benchmarks.run", "--cold", "--only", "gaussian_conv", "--out", str(out / "cold.json")]
    table = [TABLE if parts else STAND_IN, "--runs", str(out / "runs"), "--wandb", "off", "--workers", str(workers)]
    only = ["--only", f"*.{parts}"] if len(parts) == 1 else []
    if dry:
        few = ["--only", "topdown_alexnet", "--quick", "--seconds", "1"]
        one = ["--fast-dev-run", "--only", "csrnet-slim*"]
        commands = {"tests": tests, "benchmarks": [*measure, *few], "table": [*table, *one]}
        return [Step(name=name, command=command) for name, command in commands.items()]
    return [
        Step(name="tests", command=tests, share=0.4, once=True),
        Step(name="benchmarks", command=[*measure, "--resume"], share=0.7),
        Step(name="cold", command=[*cold, "--resume"], share=0.75),
        *(Step(name=f"table_seed{seed}", command=[*table, *only, "--seeds", str(seed)]) for seed in SEEDS),
    ]


def gpu_tests() -> list[str]:
    """Return the test files that need a GPU: others may import what is not installed here."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "pytest.mark.gpu" in file.read_text(encoding="utf-8")]


class Log:
    """What has been done, as files that are whole at any moment.

    Args:
        out: Folder of the results; steps that were done otherwise or by other code are forgotten.
        dry: Whether this is the dry form.
        environment: Versions, machine and commit.
    """

    def __init__(self, out: Path, *, dry: bool, environment: dict[str, Any]) -> None:
        self.out, self.path = out, out / "state.json"
        about = {"dry": dry, "environment": environment}
        before = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        same = all(before.get(key) == value for key, value in about.items())
        self.state: dict[str, Any] = {**about, "steps": before["steps"] if same else {}}

    def ended(self, step: Step) -> bool:
        """Whether a step ended by itself in an earlier call."""
        return self.state["steps"].get(step.name, {}).get("code", STOPPED) != STOPPED

    def note(self, step: Step, code: int | str, seconds: float, last: str) -> None:
        """Write down how a step ended."""
        self.state["steps"][step.name] = {"code": code, "seconds": round(seconds, 1), "last": last}
        self.save()

    def save(self) -> None:
        """Write ``state.json`` and ``summary.md``."""
        _write(self.path, json.dumps(self.state, indent=2) + "\n")
        found = self.state["environment"]
        packages = found.get("packages", {})
        lines = [
            f"# {'Dry run' if self.state['dry'] else 'Run'} on {found.get('device', 'an unknown device')}",
            "",
            f"Python {found.get('python')}, " + ", ".join(f"{name} {packages[name]}" for name in packages),
            f"Commit {found.get('commit')}{' with changes' if found.get('dirty') else ''}",
            "",
            "| step | exit code | seconds | its last line |",
            "| --- | --- | --- | --- |",
        ]
        for name, step in self.state["steps"].items():
            lines.append(f"| {name} | {step['code']} | {step['seconds']} | {step['last'].replace('|', '/')} |")
        _write(self.out / "summary.md", "\n".join(lines) + "\n")


def run(step: Step, log: Log, left: float) -> int | str:
    """Run a step, its words into a log; ask it to stop when its time is up.

    Args:
        step: What to run.
        log: Where to note how it ended.
        left: Seconds it has.

    Returns:
        Its exit code, or "stopped".
    """
    path = log.out / f"{step.name}.log"
    print(f"{step.name}: at most {left / 60:.0f} minutes, words in {path}", flush=True)
    begin = time.monotonic()
    with path.open("a", encoding="utf-8") as words:
        print(f"$ python {shlex.join(step.command)}", file=words, flush=True)
        process = _start(step.command, stdout=words, stderr=subprocess.STDOUT)
        code = _await(process, left)
    last = _last_line(path)
    log.note(step, code, time.monotonic() - begin, last)
    print(f"{step.name}: {code if code == STOPPED else f'exit code {code}'}: {last}", flush=True)
    return code


def _start(command: list[str], **options: Any) -> subprocess.Popen[str]:
    """Start this Python in a session of its own, with this checkout on its path."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "WANDB_MODE": "disabled"}
    # behind nohup or "&" interrupts are ignored, and by everything that is started from there
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    options |= {"cwd": ROOT, "env": environment, "text": True, "start_new_session": True, "preexec_fn": heeds}
    return subprocess.Popen([sys.executable, *command], **options)


def _await(process: subprocess.Popen[str], left: float) -> int | str:
    try:
        return process.wait(left)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
        process.send_signal(signal.SIGINT)  # which a table's script answers by keeping what it has
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if isinstance(reason, KeyboardInterrupt):
            raise
        return STOPPED


def _ask(code: str) -> tuple[int, str]:
    """Run a line of Python in a process of its own and return its exit code and its last line."""
    process = _start(["-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    words = (process.communicate()[0] or "").strip().splitlines()
    return process.returncode, words[-1] if words else ""


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Do all steps that time allows; 1 if one failed, 2 where there is no GPU and the dry form was not asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=25, help="for everything together (default: 25)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), metavar="DIR", help="default: runs/gpu")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that load pictures (default: 0)")
    parser.add_argument("--dry", action="store_true", help="tiny work, on any machine: does everything run?")
    flags = parser.parse_args(arguments)
    end = time.monotonic() + 60 * flags.minutes
    out = flags.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    code, answer = _ask(_DESCRIBE)
    if code:
        print(f"dotally cannot be imported by {sys.executable}: {answer}", file=sys.stderr)
        return 2
    log = Log(out, dry=flags.dry, environment=json.loads(answer))
    if log.state["environment"]["cuda"] is None and not flags.dry:
        print("no CUDA device: `make gpu DRY=1` tries everything without one", file=sys.stderr)
        return 2
    code, answer = _ask(_FIND)
    if code:
        print(f"no ShanghaiTech here, so the synthetic crowd's table stands in: {answer}", flush=True)
    planned = steps(out, dry=flags.dry, workers=flags.workers, parts="" if code else answer)
    # a shell's background job is deaf to it, and its steps would be too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        codes = [_do(step, log, end, 60 * flags.minutes) for step in planned]
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(f"wrote {out / 'summary.md'}")
    return int(any(code not in (0, STOPPED) for code in codes))


def _do(step: Step, log: Log, end: float, whole: float) -> int | str:
    left = end - (1 - step.share) * whole - time.monotonic()
    if step.once and log.ended(step):
        print(f"{step.name}: done before")
        return log.state["steps"][step.name]["code"]
    if left <= 0:
        print(f"{step.name}: no time left; the same command goes on")
        return STOPPED
    return run(step, log, left)


if __name__ == "__main__":
    sys.exit(main())
