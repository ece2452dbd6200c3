"""What the README says of a training on pictures of one's own is what ``dotally test`` wrote of it."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTED = ROOT / "docs" / "cells" / "test.json"


@pytest.mark.skipif(not TESTED.exists(), reason="docs/cells/test.json: no training on blood cells is committed yet")
def test_the_readme_quotes_the_committed_test() -> None:
    found = json.loads(TESTED.read_text())
    section = (ROOT / "README.md").read_text().split("## Your own data")[1].split("\n## ")[0]
    for figure in (found["figures"]["mae"], found["constant"]["mae"]):
        assert f"{figure:.2f}" in section
    for split in ("train", "val", "test"):
        assert str(found["pictures"][split]) in section
