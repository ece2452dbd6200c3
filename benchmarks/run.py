"""Measure every case: first that all implementations agree, then their CPU time on one thread, in the same run.

    python -m benchmarks.run                                  # everything; a minute
    python -m benchmarks.run --only density_500_heads
    python -m benchmarks.run --out benchmarks/results/cpu.json

Times are CPU seconds of this process, so a busy machine does not spoil the ratio between peers.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import density
from benchmarks.registry import Case
from dotally.experiment.environment import environment
from dotally.files import write_json


def measure(case: Case) -> dict[str, Any]:
    """Gate a case, time it, and return a row per implementation."""
    case.gate()
    seconds = {name: _time(run, case.repeats[name]) for name, run in case.implementations.items()}
    rows = [
        {
            "implementation": name,
            "cpu_seconds": taken,
            "repeats": case.repeats[name],
            "times_ours": round(taken / seconds[case.ours], 1),
        }
        for name, taken in seconds.items()
    ]
    return {"case": case.name, "about": case.about, "facts": dict(case.facts), "rows": rows}


def _time(run: Callable[[], object], repeats: int) -> float:
    """Return the median CPU seconds; repeated runs are warmed up once."""
    if repeats > 1:
        run()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return median(taken)


def markdown(results: list[dict[str, Any]]) -> str:
    """Render the measurements as one Markdown table."""
    lines = ["| case | implementation | CPU time, one thread | times ours |", "| --- | --- | --- | --- |"]
    for result in results:
        for row in result["rows"]:
            taken = f"{row['cpu_seconds'] * 1e3:,.1f} ms"
            lines.append(f"| {result['about']} | {row['implementation']} | {taken} | {row['times_ours']:,g} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure what was asked for and write it; 1 if a gate is red, which prints no time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CASE")
    parser.add_argument("--out", type=Path, help="a JSON file; the Markdown goes beside it")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for case in density.cases():
        if flags.only in (None, case.name):
            try:
                results.append(measure(case))
            except AssertionError as error:
                print(f"{case.name}: the implementations differ, so nothing was timed: {error}", file=sys.stderr)
                return 1
    print(markdown(results))
    if flags.out:
        write_json(flags.out, {"environment": environment(), "results": results})
        flags.out.with_suffix(".md").write_text(markdown(results))
        print(json.dumps(str(flags.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
