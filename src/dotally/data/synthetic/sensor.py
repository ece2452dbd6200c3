"""From a clean painting to what a cheap camera would have stored."""

import numpy as np
from PIL import Image, ImageFilter

from dotally.data.synthetic.place import Light


def expose(canvas: Image.Image, light: Light, factor: int, rng: np.random.Generator) -> Image.Image:
    """Reduce ``canvas`` by ``factor``, blur it, light it and add noise of 1-6 grey levels."""
    image = canvas.reduce(factor).filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.7)))
    pixels = np.asarray(image, dtype=np.float32) * np.array(light.gain, dtype=np.float32)
    # bright parts roll off towards white instead of clipping
    pixels = 280.0 * np.tanh(pixels / 280.0)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 6.0))
    return Image.fromarray(np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8))
