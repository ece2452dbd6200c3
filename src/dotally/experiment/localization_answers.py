"""What a localization run found on every test picture: ``predictions.csv``, and the figures that follow from it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dotally.data.voc_xml import Box
from dotally.errors import DataError
from dotally.experiment.results import Result, read_predictions, read_rows, recompute
from dotally.files import write_text
from dotally.metrics.boxes import best_iou
from dotally.metrics.localization import percent
from dotally.tasks.localization_scores import IOUS

COLUMNS = ("name", "label", "predicted", "true")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One test picture.

    Attributes:
        name: Of the picture.
        label: Annotated class.
        predicted: The network's class.
        true: Annotated boxes as the network saw the picture: (x0, y0, x1, y1) in pixels, first and last included.
        found: The box of each method, likewise.
    """

    name: str
    label: int
    predicted: int
    true: tuple[Box, ...]
    found: Mapping[str, Box]


def write_answers(path: Path, answers: Sequence[Answer]) -> None:
    """Write one line per picture: ``name,label,predicted,true`` and a column for each method; boxes read back exactly.

    A box is ``x0 y0 x1 y1``; several true ones are separated by a semicolon.
    """
    methods = list(answers[0].found) if answers else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *methods])
    for answer in answers:
        boxes = [box_text(answer.found[method]) for method in methods]
        writer.writerow([answer.name, answer.label, answer.predicted, true_text(answer), *boxes])
    write_text(path, text.getvalue())


def read_answers(path: Path) -> list[Answer]:
    """Read what :func:`write_answers` wrote.

    Raises:
        DataError: If the file is missing or cut off, or a line is damaged; the message names the line.
    """
    answers = []
    for line, row in enumerate(read_rows(path), start=2):
        try:
            answers.append(_answer(row))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, line {line}: not {','.join(COLUMNS)} and a box for each method") from error
    return answers


def overlaps(answers: Sequence[Answer], method: str) -> torch.Tensor:
    """Return ``[N]`` float64: the IoU of a method's boxes with the annotated box each fits best."""
    found = torch.tensor([answer.found[method] for answer in answers], dtype=torch.float32)
    true = torch.tensor([box for answer in answers for box in answer.true], dtype=torch.float32)
    return best_iou(found, true, torch.tensor([len(answer.true) for answer in answers]))


def recompute_answers(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the percentages that follow from boxes and labels alone: label accuracy, GT-known and top-1."""
    right = torch.tensor([answer.label == answer.predicted for answer in answers])
    figures = {"label_accuracy": _percentage(right)}
    for method in answers[0].found:
        reached = overlaps(answers, method)
        for iou in IOUS:
            figures[f"{method}/gt_known_{percent(iou)}"] = _percentage(reached >= iou)
            figures[f"{method}/top1_{percent(iou)}"] = _percentage((reached >= iou) & right)
    return figures


def recomputed(path: Path, result: Result) -> tuple[int, dict[str, float]]:
    """Return how many pictures a ``predictions.csv`` has, and the figures of a result that follow from it.

    Raises:
        DataError: If the file is missing or damaged.
    """
    if "methods" not in result.spec:
        predictions = read_predictions(path)
        return len(predictions), recompute(predictions, result.spec.get("groups")) if predictions else {}
    answers = read_answers(path)
    return len(answers), recompute_answers(answers) if answers else {}


def _percentage(hits: torch.Tensor) -> float:
    return 100 * float(hits.double().mean())


def _answer(row: Mapping[str, str]) -> Answer:
    return Answer(
        name=row["name"],
        label=int(row["label"]),
        predicted=int(row["predicted"]),
        true=tuple(_box(text) for text in row["true"].split(";")),
        found={method: _box(text) for method, text in row.items() if method not in COLUMNS},
    )


def true_text(answer: Answer) -> str:
    """Return the true boxes of a picture as text."""
    return ";".join(map(box_text, answer.true))


def box_text(box: Box) -> str:
    """Return a box as text whose float32 numbers read back as the same."""
    return " ".join(f"{value:.9g}" for value in box)


def _box(text: str) -> Box:
    x0, y0, x1, y1 = map(float, text.split())
    return x0, y0, x1, y1
