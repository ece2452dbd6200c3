import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchmetrics import MetricCollection

from dotally.metrics import DensityPSNR, DensitySSIM, density_psnr, density_ssim
from dotally.metrics.quality import resize_density

Floats = NDArray[np.float64]


def maps(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(1, 1, height, width, generator=generator)
    return target + 0.2 * torch.rand(1, 1, height, width, generator=generator), target


def bilinear(density: Floats, size: tuple[int, int]) -> Floats:
    """Interpolate between cell centres, clamped at the border: written from the definition."""
    for axis, length in enumerate(size):
        place = ((np.arange(length) + 0.5) * density.shape[axis] / length - 0.5).clip(0, density.shape[axis] - 1)
        low = np.minimum(place.astype(int), density.shape[axis] - 1)
        high = np.minimum(low + 1, density.shape[axis] - 1)
        share = np.expand_dims(place - low, 1 - axis)
        density = density.take(low, axis) * (1 - share) + density.take(high, axis) * share
    return density


def reference_psnr(prediction: Floats, target: Floats, size: tuple[int, int]) -> float:
    p, t = bilinear(prediction, size), bilinear(target, size)
    return 10 * np.log10(t.max() ** 2 / ((p - t) ** 2).mean())


def reference_ssim(prediction: Floats, target: Floats, size: tuple[int, int]) -> float:
    p, t = bilinear(prediction, size), bilinear(target, size)
    p, t = p / t.max(), t / t.max()

    def blur(values: Floats) -> Floats:
        return gaussian_filter(values, 1.5, truncate=3.5, mode="mirror")

    mean_p, mean_t = blur(p), blur(t)
    covariance = blur(p * t) - mean_p * mean_t
    variances = blur(p * p) - mean_p**2 + blur(t * t) - mean_t**2
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_p * mean_t + c1) * (2 * covariance + c2)
    return (similarity / ((mean_p**2 + mean_t**2 + c1) * (variances + c2))).mean()


@pytest.mark.parametrize(("size", "stride"), [((48, 64), 8), ((45, 61), 8), ((16, 12), 4), ((20, 24), 1)])
def test_values_equal_an_independent_computation(size: tuple[int, int], stride: int) -> None:
    prediction, target = maps(*(-(-side // stride) for side in size))
    arrays = prediction[0, 0].double().numpy(), target[0, 0].double().numpy()
    psnr = density_psnr(prediction, target, torch.tensor([size]), stride)
    ssim = density_ssim(prediction, target, torch.tensor([size]), stride)
    assert psnr.item() == pytest.approx(reference_psnr(*arrays, size), abs=1e-6)
    assert ssim.item() == pytest.approx(reference_ssim(*arrays, size), abs=1e-6)


def test_resizing_keeps_the_mass() -> None:
    density = maps(5, 7)[0].double()
    torch.testing.assert_close(resize_density(density, (40, 56)).sum(), density.sum())


def test_padded_batch_equals_its_pictures() -> None:
    sizes, stride = [(40, 24), (24, 61)], 8
    prediction, target = (torch.cat(pair) for pair in zip(maps(5, 8, seed=1), maps(5, 8, seed=2), strict=True))
    for measure in (density_psnr, density_ssim):
        together = measure(prediction, target, torch.tensor(sizes), stride)
        for index, (height, width) in enumerate(sizes):
            valid = np.s_[index : index + 1, :, : -(-height // stride), : -(-width // stride)]
            alone = measure(prediction[valid], target[valid], torch.tensor([sizes[index]]), stride)
            assert together[index] == alone[0]


@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_units_of_the_maps_do_not_matter(scale: float) -> None:
    prediction, target = (density.double() for density in maps(4, 4))
    size = torch.tensor([[32, 32]])
    for measure in (density_psnr, density_ssim):
        torch.testing.assert_close(
            measure(prediction * scale, target * scale, size, 8), measure(prediction, target, size, 8)
        )


def test_perfect_map_is_capped() -> None:
    target, size = maps(4, 4)[1], torch.tensor([[32, 32]])
    assert density_psnr(target, target, size, 8).item() == 100
    assert density_ssim(target, target, size, 8).item() == pytest.approx(1)


def test_empty_true_maps_are_skipped_and_counted() -> None:
    prediction, target = (torch.cat([density, density]) for density in maps(4, 4))
    target[1] = 0
    size = torch.tensor([[32, 32], [32, 32]])
    for metric, name in ((DensityPSNR(), "psnr"), (DensitySSIM(), "ssim")):
        metric.update(prediction, target, size, 8)
        figures = metric.compute()
        assert figures[f"{name}_skipped"] == 1
        alone = type(metric)()
        alone.update(prediction[:1], target[:1], size[:1], 8)
        assert figures[name] == alone.compute()[name]


def test_numbers_skipped_are_no_integers_which_lightning_would_warn_of() -> None:
    for metric, name in ((DensityPSNR(), "psnr"), (DensitySSIM(), "ssim")):
        metric.update(*maps(4, 4), torch.tensor([[32, 32]]), 8)
        assert metric.compute()[f"{name}_skipped"].is_floating_point()


def test_pictures_smaller_than_the_window_have_a_psnr_but_no_ssim() -> None:
    prediction, target, size = *maps(2, 4), torch.tensor([[10, 32]])
    assert density_psnr(prediction, target, size, 8).isfinite().all()
    metric = DensitySSIM()
    metric.update(prediction, target, size, 8)
    assert metric.compute() == {"ssim_skipped": 1}, "what is not defined is left out"


def test_nan_prediction_does_not_pass_for_an_empty_picture() -> None:
    target, size = maps(4, 4)[1], torch.tensor([[32, 32]])
    for metric, name in ((DensityPSNR(), "psnr"), (DensitySSIM(), "ssim")):
        metric.update(torch.full_like(target, torch.nan), target, size, 8)
        assert metric.compute()[name].isnan()
        assert metric.compute()[f"{name}_skipped"] == 0


def test_collection_computes_both() -> None:
    metrics = MetricCollection([DensityPSNR(), DensitySSIM()])
    for seed in range(2):
        metrics.update(*maps(4, 4, seed), size=torch.tensor([[32, 32]]), stride=8)
    assert set(metrics.compute()) == {"psnr", "psnr_skipped", "ssim", "ssim_skipped"}


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 1, 4, 4\), true \(1, 1, 8, 8\); is the stride"):
        density_psnr(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 8, 8), torch.tensor([[32, 32]]), 8)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("metric", [DensityPSNR(), DensitySSIM()])
def test_without_a_picture_there_is_no_figure(metric: DensityPSNR | DensitySSIM) -> None:
    with pytest.raises(ValueError, match="no picture"):
        metric.compute()
