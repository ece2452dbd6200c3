"""Measure every case: first that all implementations agree, then their CPU time on one thread, in the same run.

    python -m benchmarks.run                                  # everything; eight minutes on a quiet machine
    python -m benchmarks.run --quick                          # only what the promised figures read
    python -m benchmarks.run --only density_500_heads         # or --only gaussian_conv, topdown, loading
    python -m benchmarks.run --publish                        # everything, into benchmarks/results and the README

Times are medians of CPU seconds of this process (of wall time where workers help), and peers take turns, so a busy
machine does not spoil their ratio; peers that take many seconds run once. Where there is a GPU, the cases that can use
it are measured there. Denormals are flushed for all, and taps whose products would be below 1e-30 are zero. GFLOP and
MB are what a model counts.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import density, figures, gaussian_conv, loading, topdown
from benchmarks.plot import plot
from benchmarks.registry import Case, Skipped
from dotally.experiment.environment import environment
from dotally.files import write_json, write_text

PUBLISHED = Path(__file__).parent / "results" / "cpu.json"
_KEYS = {"cpu": "cpu_seconds", "cuda": "gpu_seconds", "wall": "wall_seconds"}


def measure(case: Case) -> dict[str, Any]:
    """Gate a case, time it, and return a row per implementation."""
    case.gate()
    taken = _time_all(case)
    ours = median(taken[case.ours])
    rows = [_row(case, name, times, ours) for name, times in taken.items()]
    return {"case": case.name, "about": case.about, "device": case.device, "facts": dict(case.facts), "rows": rows}


def _row(case: Case, name: str, taken: list[float], ours: float) -> dict[str, Any]:
    middle = median(taken)
    row = {
        "implementation": name,
        _KEYS[case.device]: middle,
        "spread": [min(taken), max(taken)],
        "repeats": len(taken),
        "times_ours": round(middle / ours, 2 if middle < 10 * ours else 1),
    }
    if "pictures" in case.facts:
        row["pictures_per_second"] = round(case.facts["pictures"] / middle, 1)
    flop, moved = case.work.get(name, (0.0, 0.0))
    if flop:
        row |= {"gflop": round(flop / 1e9, 3), "gflop_per_second": round(flop / 1e9 / middle, 2)}
    return row | ({"megabytes": round(moved / 1e6, 1)} if moved else {})


def _time_all(case: Case) -> dict[str, list[float]]:
    """Return the seconds of every run: in turns, so that a machine that grows busy slows all peers alike."""
    time_one = {"cpu": _cpu_seconds, "cuda": _gpu_seconds, "wall": _wall_seconds}[case.device]
    taken: dict[str, list[float]] = {name: [] for name in case.implementations}
    for name, run in case.implementations.items():
        if case.repeats[name] > 1:  # warmed up once
            run()
    for turn in range(max(case.repeats.values())):
        for name, run in case.implementations.items():
            if turn < case.repeats[name]:
                taken[name].append(time_one(run))
    return taken


def _cpu_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _wall_seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _gpu_seconds(run: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def markdown(results: list[dict[str, Any]], skipped: list[dict[str, str]] | None = None) -> str:
    """Render the promised figures, all measurements, and what could not be measured."""
    lines = [
        *figures.markdown(results).splitlines(),
        "",
        "| case | implementation | CPU time on one thread, or GPU or wall time | times ours | GFLOP | GFLOP/s | MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for row in result["rows"]:
            taken = f"{next(row[key] for key in _KEYS.values() if key in row) * 1e3:,.1f} ms"
            if "pictures_per_second" in row:
                taken += f" ({row['pictures_per_second']:,g} pictures/s)"
            model = (f"{row[key]:,g}" if key in row else "" for key in ("gflop", "gflop_per_second", "megabytes"))
            cells = (result["about"], row["implementation"], taken, f"{row['times_ours']:,g}", *model)
            lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nNot measured: {each['case']}, because {each['reason']}" for each in skipped or []]
    return "\n".join(lines) + "\n"


def quick(case: Case) -> Case | None:
    """Return what the promised figures read of a case, each at most three times; None if that is nothing."""
    names = figures.needed(case.name)
    if not names:
        return None
    kept = {name: run for name, run in case.implementations.items() if name in names}
    return replace(case, implementations=kept, repeats={name: min(case.repeats[name], 3) for name in kept})


def main() -> int:
    """Measure what was asked for and write it; 1 if a gate is red, which prints no time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="CASE", help="a name, or what names begin with")
    parser.add_argument("--quick", action="store_true", help="only what the promised figures read")
    parser.add_argument("--out", type=Path, help="a JSON file; Markdown and plot go beside it")
    parser.add_argument("--publish", action="store_true", help=f"write {PUBLISHED.name} and the README's block")
    flags = parser.parse_args()
    if flags.publish and (flags.only or flags.quick):
        parser.error("--publish needs everything measured: leave out --only and --quick")
    torch.set_num_threads(1)
    # subnormal numbers slow some implementations several times, and would make the others look good
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    results: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for case in (*density.cases(), *gaussian_conv.cases(), *topdown.cases(), *loading.cases()):
        if not case.name.startswith(flags.only or ""):
            continue
        if isinstance(case, Skipped):
            skipped.append({"case": case.name, "reason": case.reason})
        elif chosen := quick(case) if flags.quick else case:
            print(f"{chosen.name} ...", file=sys.stderr)
            try:
                results.append(measure(chosen))
            except AssertionError as error:
                print(f"{case.name}: the implementations differ, so nothing was timed: {error}", file=sys.stderr)
                return 1
    print(markdown(results, skipped))
    if out := PUBLISHED if flags.publish else flags.out:
        _write(out, results, skipped)
    if flags.publish:
        write_text(figures.README, figures.filled(figures.README.read_text(encoding="utf-8"), results))
    return 0


def _write(path: Path, results: list[dict[str, Any]], skipped: list[dict[str, str]]) -> None:
    reached = figures.reached(results)
    write_json(path, {"environment": environment(), "figures": reached, "results": results, "skipped": skipped})
    write_text(path.with_suffix(".md"), markdown(results, skipped))
    plot(results, path.with_suffix(".png"))
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
