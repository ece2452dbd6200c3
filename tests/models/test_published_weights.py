from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat

from dotally.models import MCNN, PRESETS, load_into, preprocess, read_weights


def find(roots: list[Path], name: str) -> Path:
    for root in roots:
        if (root / name).exists():
            return root / name
    pytest.skip(f"{name} is in no data root")


@pytest.mark.real
def test_published_mcnn_counts_the_first_pictures_of_part_a(data_root: list[Path]) -> None:
    model = MCNN().eval()
    load_into(model, read_weights(find(data_root, "weights_mcnn/mcnn_shtechA_660.h5")).state)
    folder = find(data_root, "shanghaitech/part_A/test_data")
    counts, truths = [], []
    for index in range(1, 6):
        rgb = np.array(Image.open(folder / "images" / f"IMG_{index}.jpg").convert("RGB"))
        image = torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0)
        with torch.no_grad():
            x = preprocess(image, torch.tensor([image.shape[2:]]), PRESETS["mcnn"])
            counts.append(model(x).sum().item())
        mat = loadmat(folder / "ground-truth" / f"GT_IMG_{index}.mat")
        truths.append(len(mat["image_info"][0, 0]["location"][0, 0]))
    # a plain forward pass with Pillow's grey gives this error; all 182 pictures give 109.75
    assert np.abs(np.subtract(counts, truths)).mean() == pytest.approx(128.35, abs=0.05)
