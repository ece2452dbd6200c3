"""What changes a counting error: counts of the same pictures under one altered choice each, and a page made of them."""

import csv
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from dotally.errors import DataError
from dotally.files import write_text
from dotally.metrics.count_errors import counting_error

# the block of a Markdown file that holds it
BLOCK = "changes"
RESULTS = Path("experiments", "studies", "what_changes_the_number.json")
# trained by us on ShanghaiTech, with its curve of validation errors
CURVES = Path("experiments", "results", "csrnet_table5_shanghaitech", "csrnet-slim.B")
DRAWS = 2000
HEADS = ("changed", "to", "MAE", "change", "RMSE", "change", "pictures")
CURVE_HEADS = (
    "seed",
    "chosen: epoch",
    "MAE",
    "last epoch: MAE",
    "ten before: sd",
    "last ten: mean",
    "sd",
    "range",
    "last five: sd",
)


@dataclass(kw_only=True)
class Change:
    """One choice made otherwise; what stays as it was is None.

    Attributes:
        name: Unique within its study, a slug.
        group: Which choice.
        what: What it is now.
        predicted: Heads counted in every picture.
        true: Heads that it is held against; None leaves a picture out.
    """

    name: str
    group: str
    what: str
    predicted: list[float] | None = None
    true: list[float | None] | None = None


@dataclass(kw_only=True)
class Study:
    """One network on one split.

    Attributes:
        name: A slug.
        network: Whose weights, for people.
        pictures: Which pictures, for people.
        names: Of the pictures.
        true: Annotated heads.
        predicted: Heads counted, nothing changed.
        changes: In the order of the page.
    """

    name: str
    network: str
    pictures: str
    names: list[str]
    true: list[float]
    predicted: list[float]
    changes: list[Change] = field(default_factory=list)


def read_studies(path: Path) -> tuple[list[Study], dict[str, Any]]:
    """Read the studies and the environment they were made in.

    Raises:
        DataError: The file is missing, damaged, or has lists of different lengths.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        studies = [
            Study(**{**study, "changes": [Change(**change) for change in study["changes"]]})
            for study in found["studies"]
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: no complete measurement ({error}): delete it and measure again") from error
    for study in studies:
        lists = [study.true, study.predicted, *(c.predicted for c in study.changes), *(c.true for c in study.changes)]
        if any(values is not None and len(values) != len(study.names) for values in lists):
            raise DataError(f"{path}: {study.name} has lists of different lengths: delete it and measure again")
    return studies, found["environment"]


def write_studies(path: Path, studies: Sequence[Study], environment: dict[str, Any]) -> None:
    """Write studies atomically, a list of numbers a line; counts are rounded to a ten-thousandth of a head."""
    lists: list[str] = []

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(item) for key, item in value.items()}
        if isinstance(value, list) and value and not isinstance(value[0], dict):
            lists.append(json.dumps([round(v, 4) if isinstance(v, float) else v for v in value], allow_nan=False))
            return f"<{len(lists) - 1}>"
        return [kept(item) for item in value] if isinstance(value, list) else value

    text = json.dumps({"environment": environment, "studies": [kept(asdict(study)) for study in studies]}, indent=1)
    for index, line in enumerate(lists):
        text = text.replace(f'"<{index}>"', line)
    write_text(path, text + "\n")


def changes(root: Path) -> str:
    """Render the block of the page from what is committed in a checkout.

    Raises:
        DataError: The measurement is missing or damaged.
    """
    studies, _ = read_studies(root / RESULTS)
    parts = [block for study in studies for block in (_title(study), _table(HEADS, _rows(study), left=2))]
    curves = [_curve(path) for path in sorted((root / CURVES).glob("seed*/metrics.csv"))]
    title = f"**{CURVES.name}, trained by us: which epoch, by its {_curve_pictures(studies)}validation pictures**"
    return "\n\n".join([*parts, *([title, _table(CURVE_HEADS, curves, left=1)] if curves else [])]) + "\n"


def _title(study: Study) -> str:
    return f"**{study.network}: {study.pictures}, {len(study.names)} pictures**"


def _curve_pictures(studies: Sequence[Study]) -> str:
    return next((f"{len(study.names)} " for study in studies if study.name == "slim-B"), "")


def _rows(study: Study) -> Iterator[list[str]]:
    base = _errors(study.predicted, study.true)
    yield ["nothing", "", f"{base[0]:.2f}", "", f"{base[1]:.2f}", "", str(len(study.names))]
    for change in study.changes:
        true = change.true or list(study.true)
        pairs = [(p, t) for p, t in zip(change.predicted or study.predicted, true, strict=True) if t is not None]
        found = _errors(*zip(*pairs, strict=True))
        shown = [f for mine, usual in zip(found, base, strict=True) for f in (f"{mine:.2f}", f"{mine - usual:+.2f}")]
        yield [change.group, change.what, *shown, str(len(pairs))]
    spread = _resampled(study.predicted, study.true)
    drawn = [field for sd in spread for field in ("", f"± {sd:.2f}")]
    yield [
        "pictures",
        f"as many, drawn again from these {DRAWS} times: standard deviation",
        *drawn,
        str(len(study.names)),
    ]


def _errors(predicted: Sequence[float], true: Sequence[float]) -> tuple[float, float]:
    figures = counting_error(torch.tensor(predicted, dtype=torch.float64), torch.tensor(true, dtype=torch.float64))
    return float(figures["mae"]), float(figures["rmse"])


def _resampled(predicted: Sequence[float], true: Sequence[float]) -> tuple[float, float]:
    """Return the standard deviations of MAE and RMSE over bootstrap samples of the pictures."""
    error = torch.tensor(predicted, dtype=torch.float64) - torch.tensor(true, dtype=torch.float64)
    drawn = torch.randint(len(error), (DRAWS, len(error)), generator=torch.Generator().manual_seed(0))
    sample = error[drawn]
    return float(sample.abs().mean(1).std()), float(sample.square().mean(1).sqrt().std())


def _curve(path: Path) -> list[str]:
    """Return a row of one run: chosen and last epoch, and how much neighbouring epochs differ."""
    with path.open(newline="", encoding="utf-8") as file:
        mae = [float(row["val/mae"]) for row in csv.DictReader(file)]
    if len(mae) < 20:
        raise DataError(f"{path}: fewer than twenty epochs")
    last, before = mae[-10:], mae[-20:-10]
    chosen = min(range(len(mae)), key=mae.__getitem__)
    return [
        path.parent.name.removeprefix("seed"),
        f"{chosen + 1} of {len(mae)}",
        f"{mae[chosen]:.2f}",
        f"{mae[-1]:.2f}",
        f"{statistics.stdev(before):.2f}",
        f"{statistics.mean(last):.2f}",
        f"{statistics.stdev(last):.2f}",
        f"{min(last):.2f} to {max(last):.2f}",
        f"{statistics.stdev(mae[-5:]):.2f}",
    ]


def _table(heads: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]], *, left: int) -> str:
    ruled = ["---"] * left + ["---:"] * (len(heads) - left)
    return "\n".join("| " + " | ".join(fields) + " |" for fields in [list(heads), ruled, *rows])
