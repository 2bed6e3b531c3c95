"""PSNR and SSIM against their definitions, against published scores, and by their properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import correlate
from torch import Tensor

from falsr_nas.benchmark.image_quality import luma_mse, psnr, quantise, score, ssim, studio_luma
from falsr_nas.benchmark.metrics import LumaMSE
from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.core.errors import UserError
from falsr_nas.data.images import read_image

IMAGES = st.tuples(st.integers(15, 24), st.integers(15, 24)).flatmap(
    lambda size: st.tuples(arrays(np.uint8, (3, *size)), arrays(np.uint8, (3, *size)))
)


def reference_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two float64 planes by the definition, with one 11x11 kernel."""
    position = np.arange(11) - 5
    weights = np.exp(-(position[:, None] ** 2 + position**2) / (2 * 1.5**2))
    weights /= weights.sum()
    valid = slice(5, -5)

    def expectation(image: np.ndarray) -> np.ndarray:
        return correlate(image, weights, mode="constant")[valid, valid]

    mx, my = expectation(x), expectation(y)
    vx, vy, cov = (
        expectation(x * x) - mx * mx,
        expectation(y * y) - my * my,
        expectation(x * y) - mx * my,
    )
    c1, c2 = 2.55**2, 7.65**2
    return float(
        np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2)))
    )


def reference_score(
    output: np.ndarray, target: np.ndarray, protocol: ScoringProtocol
) -> tuple[float, float]:
    """PSNR and SSIM of two uint8 images (3, H, W) in float64."""
    matrix = np.array([65.481, 128.553, 24.966])
    planes = [np.tensordot(matrix, image / 255.0, 1)[2:-2, 2:-2] + 16 for image in (output, target)]
    if protocol is ScoringProtocol.falsr:
        planes = [np.around(plane) for plane in planes]
    error = np.mean((planes[0] - planes[1]) ** 2)
    return (10 * np.log10(255**2 / error) if error else np.inf), reference_ssim(*planes)


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.sampled_from(ScoringProtocol))
def test_equals_the_definition(
    images: tuple[np.ndarray, np.ndarray], protocol: ScoringProtocol
) -> None:
    output, target = images
    expected = reference_score(output, target, protocol)
    for kind in (torch.uint8, torch.float32, torch.float64):
        one = score(
            torch.from_numpy(output)[None].to(kind),
            torch.from_numpy(target)[None].to(kind),
            protocol,
        )[0]
        assert one.protocol is protocol
        assert one.psnr == pytest.approx(expected[0], abs=2e-4)
        assert one.ssim == pytest.approx(expected[1], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(IMAGES, st.floats(0.1, 20))
def test_properties(images: tuple[np.ndarray, np.ndarray], peak: float) -> None:
    x, y = (torch.from_numpy(image)[None].double() for image in images)
    assert ssim(x, x) == pytest.approx(1)
    assert torch.isinf(psnr(x, x)).all()
    torch.testing.assert_close(ssim(x, y), ssim(y, x))
    torch.testing.assert_close(psnr(x, y), psnr(y, x))
    assert (ssim(x, y) <= 1 + 1e-12).all()
    scale = peak / 255  # scores do not depend on the unit of the levels
    torch.testing.assert_close(ssim(x * scale, y * scale, peak), ssim(x, y))
    torch.testing.assert_close(psnr(x * scale, y * scale, peak), psnr(x, y))


def test_psnr_of_a_known_error() -> None:
    zero = torch.zeros(1, 1, 8, 8)
    torch.testing.assert_close(psnr(zero, zero + 25.5), torch.tensor([20.0]))


def test_luma_is_studio_range() -> None:
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0]], dtype=torch.uint8).view(
        3, 3, 1, 1
    )
    torch.testing.assert_close(studio_luma(colours).flatten(), torch.tensor([16.0, 235.0, 81.481]))


def test_quantise() -> None:
    levels = torch.tensor([-3.0, 0.49, 0.51, 99.99999, 254.6, 300.0])
    assert quantise(levels, ScoringProtocol.standard).tolist() == [0, 0, 1, 100, 255, 255]
    assert quantise(levels, ScoringProtocol.falsr).tolist() == [0, 0, 0, 100, 254, 255]


def test_protocols_may_be_plain_strings() -> None:
    output, target = random_pairs()
    for protocol in ScoringProtocol:
        plain = score(output, target, protocol.value)  # type: ignore[arg-type]
        assert plain == score(output, target, protocol)
        assert torch.equal(
            quantise(output - 0.7, protocol.value),  # type: ignore[arg-type]
            quantise(output - 0.7, protocol),
        )


def random_pairs() -> tuple[Tensor, Tensor]:
    """Outputs and targets of five images as 8-bit levels."""
    rng = torch.Generator().manual_seed(0)
    output, target = (
        torch.randint(0, 256, (5, 3, 20, 22), generator=rng, dtype=torch.uint8) for _ in range(2)
    )
    return output, target


def test_the_validation_metric_averages_over_images_however_batched() -> None:
    output, target = (image[:, :1] / 255 for image in random_pairs())
    expected = float(luma_mse(output, target).double().mean())
    metric = LumaMSE()
    for batch in (slice(0, 1), slice(1, 5)):
        metric.update(output[batch], target[batch])
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    metric.reset()
    metric.update(output, target)
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_what_cannot_be_compared() -> None:
    image = torch.zeros(1, 3, 20, 20)
    with pytest.raises(UserError, match="cannot compare"):
        score(image, image[..., 1:], ScoringProtocol.standard)
    with pytest.raises(UserError, match="cannot compare"):
        score(image[0], image[0], ScoringProtocol.standard)
    with pytest.raises(UserError, match="11 x 11"):
        score(image[..., :14], image[..., :14], ScoringProtocol.standard)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("batched", [False, True])
def test_rcan_scores_its_own_images_as_published(
    kind: torch.dtype, batched: bool, data_root: Path
) -> None:
    outputs = sorted((data_root / "golden" / "RCAN_Set5_x2").glob("*_RCAN_x2.png"))
    assert len(outputs) == 5
    scores = []
    for path in outputs:
        pair = [
            read_image(p).to(kind)[None]
            for p in (path, path.with_name(path.name.replace("_RCAN_", "_HR_")))
        ]
        if batched:
            pair = [torch.cat([image, image.flip(-1)]) for image in pair]
        scores += score(*pair, ScoringProtocol.standard)
    assert np.mean([one.psnr for one in scores]) == pytest.approx(38.274, abs=5e-4)
    assert np.mean([one.ssim for one in scores]) == pytest.approx(0.9614, abs=5e-5)


def test_full_range_luma_would_be_another_score() -> None:
    """Studio range compresses errors by 219/255: full range is 1.3 dB lower."""
    rng = torch.Generator().manual_seed(0)
    grey: Tensor = (
        torch.randint(0, 256, (2, 1, 24, 24), generator=rng).expand(2, 3, 24, 24).double()
    )
    studio = score(grey[:1], grey[1:], ScoringProtocol.standard)[0].psnr
    full = float(psnr(grey[:1, :1, 2:-2, 2:-2], grey[1:, :1, 2:-2, 2:-2]))
    assert studio - full == pytest.approx(20 * np.log10(255 / 219), abs=1e-4)
