"""The figures that are promised: each a ratio of two rows of one case, so of the same run, beside what was wanted."""

from pathlib import Path
from typing import Any, NamedTuple

README = Path(__file__).parents[1] / "README.md"
BLOCK = "<!-- benchmark:cpu -->", "<!-- /benchmark:cpu -->"


class Figure(NamedTuple):
    """Seconds of ``over`` divided by those of ``under``; without ``under``, the seconds themselves."""

    about: str
    case: str
    over: str
    under: str | None
    wanted: float
    at_least: bool


def _gaussian(what: str, label: str, wanted: float) -> list[Figure]:
    about = "Gaussian convolution, 512 to 512 channels at 48 x 64, 4 units,"
    case = f"gaussian_conv_512_512_{what}_cpu"
    return [
        Figure(f"{about} {label}, {shift}: dense 15x15 / ours", case, "dense 15x15", f"dotally, {shift}", wanted, True)
        for shift in ("bilinear", "exact")
    ]


FIGURES = (
    Figure(
        "density map, 768 x 1024, 500 heads: one full-size filter per head / ours",
        "density_500_heads",
        "one filter per head",
        "dotally",
        1500,
        True,
    ),
    Figure("density maps of all of ShanghaiTech A: seconds", "density_shanghaitech_a", "dotally", None, 20, False),
    *_gaussian("forward", "forward", 25),
    *_gaussian("training", "forward + backward", 40),
    Figure(
        "top-down pass / forward, AlexNet to the image",
        "topdown_alexnet_to_image_cpu",
        "top-down pass",
        "forward",
        1.5,
        False,
    ),
    Figure(
        "top-down pass / forward, VGG-16 to pool3", "topdown_vgg16_to_pool3_cpu", "top-down pass", "forward", 0.6, False
    ),
    Figure(
        "training crops of 384 pixels, wall time: published pipeline without workers / ours, packed, with 2",
        "loading_workers",
        "published pipeline",
        "dotally, packed, 2 workers",
        5,
        True,
    ),
)


def needed(case: str) -> set[str]:
    """Return the implementations of a case that some figure reads."""
    return {name for figure in FIGURES if figure.case == case for name in (figure.over, figure.under) if name}


def reached(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every figure that the measurements hold, with what was wanted and whether it was reached."""
    seconds = {
        (result["case"], row["implementation"]): row[key]
        for result in results
        for row in result["rows"]
        for key in ("cpu_seconds", "wall_seconds")
        if key in row
    }
    found = []
    for about, case, over, under, wanted, at_least in FIGURES:
        if (case, over) not in seconds:
            continue
        value = seconds[case, over] / (seconds[case, under] if under else 1)
        ok = value >= wanted if at_least else value <= wanted
        found.append({"figure": about, "wanted": wanted, "at_least": at_least, "measured": value, "reached": ok})
    return found


def markdown(results: list[dict[str, Any]]) -> str:
    """Render the figures as a Markdown table."""
    lines = ["| figure (CPU time of one thread, same run) | wanted | measured | |", "| --- | --- | --- | --- |"]
    for found in reached(results):
        wanted = f"{'at least' if found['at_least'] else 'at most'} {found['wanted']:,g}"
        verdict = "reached" if found["reached"] else "**missed**"
        lines.append(f"| {found['figure']} | {wanted} | {_number(found['measured'])} | {verdict} |")
    return "\n".join(lines) + "\n"


def filled(text: str, results: list[dict[str, Any]]) -> str:
    """Return a Markdown text with the block of the figures replaced.

    Raises:
        ValueError: If it has no such block.
    """
    parts = text.split(BLOCK[0])
    rest = parts[-1].split(BLOCK[1])
    if len(parts) != 2 or len(rest) != 2:
        raise ValueError(f"the text needs one block between {BLOCK[0]} and {BLOCK[1]}")
    return f"{parts[0]}{BLOCK[0]}\n{markdown(results)}{BLOCK[1]}{rest[1]}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
