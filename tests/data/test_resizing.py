"""Named sizes: worked by hand from the published preparations."""

from functools import partial

import pytest

from dotally.data import UCFQNRF, NWPUCrowd
from dotally.data.resizing import Fit, Size, at_least, exactly, nearest_multiples

QNRF, NWPU = UCFQNRF.fits, NWPUCrowd.fits
IIM_JHU = partial(at_least, least=(768, 1024), grow=False)


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        # shorter side into 512 .. 2048, the other rounded
        (QNRF["bl"], (3000, 4000), (2048, 2731)),
        (QNRF["bl"], (300, 401), (512, 684)),
        (QNRF["bl"], (600, 9000), (600, 9000)),
        (QNRF["bl"], (401, 300), (684, 512)),
        # filling 1024 x 1024 in nearest multiples of 16, small pictures too
        (QNRF["c3"], (2013, 2902), (704, 1024)),
        (QNRF["c3"], (100, 200), (512, 1024)),
        # longer side first, then the shorter one
        (QNRF["fidtm"], (1000, 4096), (512, 2097)),
        (QNRF["fidtm"], (1000, 800), (1000, 800)),
        (QNRF["fidtm"], (400, 300), (683, 512)),
        # cut to whole pixels, never grown
        (QNRF["pet"], (1000, 1537), (999, 1536)),
        (QNRF["pet"], (1000, 1536), (1000, 1536)),
        # at least 768 x 1024 in multiples of 16; on UCF-QNRF even multiples grow
        (QNRF["iim"], (768, 1024), (784, 1040)),
        (QNRF["iim"], (384, 1024), (768, 2064)),
        (QNRF["iim"], (1000, 512), (2016, 1024)),
        (IIM_JHU, (800, 1100), (800, 1088)),
        # filling 2048 x 2048, at least 576 x 768
        (NWPU["nwpu"], (1000, 2000), (1024, 2048)),
        (NWPU["nwpu"], (4028, 19044), (576, 2720)),
        (NWPU["nwpu"], (8000, 1000), (6144, 768)),
        # into 384 .. 1920, cut to multiples of 16: extreme pictures are distorted
        (NWPU["dm-count"], (1000, 2000), (960, 1920)),
        (NWPU["dm-count"], (500, 10000), (384, 1920)),
        (NWPU["pet"], (4028, 19044), (433, 2048)),
        (nearest_multiples, (744, 1023), (752, 1024)),
        (nearest_multiples, (3, 5), (16, 16)),
        (partial(exactly, target=(632, 952)), (158, 238), (632, 952)),
    ],
)
def test_sizes_are_those_of_the_published_codes(fit: Fit, size: Size, expected: Size) -> None:
    assert fit(size) == expected


RULES = {f"{name} {code}": fit for name, rules in (("qnrf", QNRF), ("nwpu", NWPU)) for code, fit in rules.items()}


@pytest.mark.parametrize("fit", [*RULES.values(), IIM_JHU], ids=[*RULES, "jhu iim"])
@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (333, 333)])
def test_every_rule_gives_a_picture(fit: Fit, size: Size) -> None:
    assert min(fit(size)) >= 1
