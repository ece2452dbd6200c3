"""One picture of all cases: bars of the time each implementation takes, in units of ours."""

from pathlib import Path
from typing import Any


def plot(results: list[dict[str, Any]], path: Path) -> None:
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
        colours = [
            "tab:blue" if "dotally" in row["implementation"] or ratio == 1 else "tab:gray"
            for row, ratio in zip(rows, ratios, strict=True)
        ]
        bars = ax.barh([row["implementation"] for row in rows], ratios, color=colours, left=0)
        ax.bar_label(bars, [f"{ratio:,g}" for ratio in ratios], padding=3, fontsize=7)
        ax.set_xscale("log")
        ax.margins(x=0.15)
        ax.set_title(result["about"], fontsize=8, loc="left")
        ax.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("time, in units of ours", fontsize=8)
    figure.savefig(path, dpi=100)
