"""WorldExpo'10 (Zhang et al., "Cross-scene Crowd Counting via Deep CNNs", CVPR 2015): surveillance cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from dotally.data.crowd import Split
from dotally.data.crowd_dataset import Record, Sigma
from dotally.data.published_module import PublishedDataModule
from dotally.data.sampling import carve
from dotally.data.world_expo_files import TEST_SCENES, WORLD_EXPO, scene_of


class WorldExpo10(PublishedDataModule):
    """WorldExpo'10 as batches; only people in the region of their scene count, and frames are masked with it.

    Validation holds whole scenes, because the frames of one look alike. Tables print the MAE of each of the five test
    scenes and the plain mean of these five.

    Args:
        scene: The test scene, 1 to 5 as tables number them; None takes all five together.
        empty: "drop" leaves out frames without a head in the region, as the C^3 Framework does.
        sigma: CSRNet's is 3 (CVPR 2018, table 2).
        options: See :class:`PublishedDataModule`; there is no rule for the size, frames are 576 x 720.

    Raises:
        ValueError: If an option is out of range.
        DataError: From ``setup``, if the set is not found or incomplete.
    """

    published = WORLD_EXPO

    def __init__(
        self,
        scene: int | None = None,
        *,
        empty: Literal["keep", "drop"] = "keep",
        sigma: Sigma = 3.0,
        **options: Any,
    ) -> None:
        super().__init__(sigma=sigma, **options)
        if scene is not None and scene not in range(1, len(TEST_SCENES) + 1):
            raise ValueError(f"scene must be None or 1 to {len(TEST_SCENES)}, got {scene}")
        if empty not in ("keep", "drop"):
            raise ValueError(f"empty must be 'keep' or 'drop', got {empty!r}")
        self.scene, self.empty = scene, empty

    @override
    def records(self, roots: Sequence[Path], split: Split) -> list[Record]:
        if split == "test":
            chosen = self.published.records(roots, "test" if self.scene is None else TEST_SCENES[self.scene - 1])
        else:
            train = self.published.records(roots, "train")
            scenes = sorted({scene_of(record) for record in train})
            kept = set(carve(scenes, self.val_fraction, self.split_seed)[split == "val"])
            chosen = [record for record in train if scene_of(record) in kept]
        if self.empty == "drop":
            chosen = [record for record in chosen if len(self.published.points(record))]
        return chosen
