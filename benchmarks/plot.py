"""Two pictures of a run: bars of the time each implementation takes, in units of ours, and the roofline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dotally.experiment.speed import is_modelled, is_ours
from dotally.files import atomic_path


def plot(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the ratios of every case that has peers; logarithmic, because they span four powers of ten."""
    from matplotlib.figure import Figure  # slow to import

    shown = [result for result in results if len(result["rows"]) > 1]
    if not shown:
        return
    heights = [len(result["rows"]) + 1 for result in shown]
    figure = Figure(figsize=(8, 0.28 * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})
    for ax, result in zip(axes[:, 0], shown, strict=True):
        rows = result["rows"][::-1]
        ratios = [row["times_ours"] for row in rows]
        colours = ["tab:blue" if is_ours(row) or row["times_ours"] == 1 else "tab:gray" for row in rows]
        bars = ax.barh([row["implementation"] for row in rows], ratios, color=colours, left=0)
        ax.bar_label(bars, [f"{ratio:,.3g}" for ratio in ratios], padding=3, fontsize=7)
        ax.set_xscale("log")
        ax.margins(x=0.15)
        ax.set_title(result["about"], fontsize=8, loc="left")
        ax.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("time, in units of ours", fontsize=8)
    _save(figure, path)


def roofline(results: Sequence[Mapping[str, Any]], ceilings: Mapping[str, float], path: Path) -> None:
    """Draw operations a second over operations a byte, below the measured ceilings; nothing where no model counts."""
    from matplotlib.figure import Figure

    rows = [row for result in results for row in result["rows"] if is_modelled(row)]
    if not rows or "copy" not in ceilings:
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    ax = figure.subplots()
    for mine, colour in ((True, "tab:blue"), (False, "tab:gray")):
        chosen = [row for row in rows if is_ours(row) == mine]
        intensity = [1e3 * row["gflop"] / row["megabytes"] for row in chosen]
        rates = [row["gflop_per_second"] for row in chosen]
        ax.scatter(intensity, rates, s=18, c=colour, label="dotally" if mine else "peers")
    low, high = (pick(1e3 * row["gflop"] / row["megabytes"] for row in rows) for pick in (min, max))
    peak = ceilings["fp32"] / 1e9
    bends = [low / 2, peak * 1e9 / ceilings["copy"], high * 2]
    ax.plot(bends, [min(peak, x * ceilings["copy"] / 1e9) for x in bends], c="black", lw=1, label="ceilings, fp32")
    ax.set(xscale="log", yscale="log", xlabel="operations a byte, by the model", ylabel="GFLOP/s")
    ax.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
