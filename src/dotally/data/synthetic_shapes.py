"""SyntheticShapes: shapes of eight classes on clutter, with true boxes, painted when first used."""

from functools import lru_cache
from typing import Any, ClassVar

from typing_extensions import override

from dotally.data.box_dataset import BoxRecord
from dotally.data.localization import SPLITS, LocalizationDataModule, Split
from dotally.data.shapes import SHAPES, SIDE, paint


class SyntheticShapes(LocalizationDataModule):
    """Pictures of 64x64 pixels, one object on clutter in each: labels to train on, true boxes to judge by.

    Training pictures come with labels only; validation boxes are there to choose a threshold. Nothing lies on disk.

    Args:
        pictures: Training pictures.
        val_pictures: Validation pictures.
        test_pictures: Test pictures.
        render_seed: Seed of the pictures of all splits, none of which is in two of them.
        batch_size: See :class:`LocalizationDataModule`.
        options: Likewise; ``data_root`` and ``val_fraction`` do not apply.

    Raises:
        ValueError: If a number is out of range.
    """

    pictures_may_leave: ClassVar[bool] = True

    def __init__(
        self,
        *,
        pictures: int = 3000,
        val_pictures: int = 200,
        test_pictures: int = 500,
        render_seed: int = 0,
        batch_size: int = 64,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **{"framing": "keep", "side": SIDE, **options})
        self.render_seed = render_seed
        self.numbers: dict[Split, int] = {"train": pictures, "val": val_pictures, "test": test_pictures}
        if min(self.numbers.values()) < 1 or render_seed < 0:
            raise ValueError(
                f"every split needs a picture and render_seed must not be negative, got {self.numbers}, {render_seed}"
            )

    @override
    def records(self, split: Split) -> list[BoxRecord]:
        return list(_painted(self.render_seed, split, self.numbers[split]))

    @override
    def class_names(self) -> list[str]:
        """Return the names of the eight shapes."""
        return list(SHAPES)


# several modules of one process, such as those of a table's rows, share the pictures
@lru_cache(maxsize=6)
def _painted(seed: int, split: Split, number: int) -> tuple[BoxRecord, ...]:
    records = []
    for index in range(number):
        image, label, box = paint(seed, SPLITS.index(split), index)
        records.append(BoxRecord(name=f"{split}_{index:04}", picture=image, label=label, boxes=(box,)))
    return tuple(records)
