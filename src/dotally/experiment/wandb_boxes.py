"""Localization at Weights & Biases: test pictures and what every method found, its boxes drawn there."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from dotally.data.localization import LocalizationDataModule
from dotally.data.voc_xml import Box
from dotally.experiment.box_sheet import by_place
from dotally.experiment.localization_answers import Answer, box_text, overlaps, true_text

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

THUMBNAILS = 40  # pictures in the table of test pictures, spread evenly


def thumbnails(answers: Sequence[Answer], data: LocalizationDataModule) -> dict[str, Image.Image]:
    """Return some of the test pictures as the network saw them, none where pictures may not leave."""
    if not data.pictures_may_leave:
        return {}
    test = data.dataset("test")
    places = by_place(len(answers), THUMBNAILS)
    return {
        answers[place].name: Image.fromarray(test.load(place).image.permute(1, 2, 0).contiguous().numpy())
        for place in places
    }


def log_answers(logger: "WandbLogger", answers: Sequence[Answer], pictures: Mapping[str, Image.Image]) -> None:
    """Log every test picture: labels, boxes, each method's IoU, and the picture with the boxes where there is one."""
    import wandb

    methods = list(answers[0].found) if answers else []
    reached = {method: overlaps(answers, method).tolist() for method in methods}
    columns = ["name", *(["picture"] if pictures else []), "label", "predicted", *methods]
    columns += ["annotated box", *(f"{method} box" for method in methods)]
    rows: list[list[Any]] = []
    for place, answer in enumerate(answers):
        shown = pictures.get(answer.name)
        drawn = None if shown is None else wandb.Image(shown, boxes=_boxes(answer))
        rows.append(
            [
                answer.name,
                *([drawn] if pictures else []),
                answer.label,
                answer.predicted,
                *(reached[method][place] for method in methods),
                true_text(answer),
                *(box_text(answer.found[method]) for method in methods),
            ]
        )
    logger.log_table("pictures/test", columns=columns, data=rows)


def _boxes(answer: Answer) -> dict[str, Any]:
    """Return boxes as ``wandb.Image`` takes them: one group for the truth and one for each method."""
    groups = {"annotated": answer.true, **{method: (box,) for method, box in answer.found.items()}}
    return {
        name: {"box_data": [_drawn(box, number, name) for box in boxes], "class_labels": {number: name}}
        for number, (name, boxes) in enumerate(groups.items())
    }


def _drawn(box: Box, number: int, caption: str) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    position = {"minX": x0, "minY": y0, "maxX": x1 + 1, "maxY": y1 + 1}
    return {"position": position, "domain": "pixel", "class_id": number, "box_caption": caption}
