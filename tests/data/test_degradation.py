from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from falsr_nas.data.degradation import downscale, modcrop, taps
from falsr_nas.data.images import read_image

SIDES = st.integers(1, 12).map(lambda half: 2 * half)


def keys_kernel(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def reference_pass(image: np.ndarray, scale: int = 2) -> np.ndarray:
    """Shrink the first axis in float64 by the definition, with a replicated border."""
    size = len(image)
    matrix = np.zeros((size // scale, size))
    for i in range(size // scale):
        positions = np.arange(scale * (i - 4), scale * (i + 4) + 1)
        weights = keys_kernel((positions - (scale * i + (scale - 1) / 2)) / scale)
        np.add.at(matrix[i], positions.clip(0, size - 1), weights / weights.sum())
    # Sums that are whole and a half in exact arithmetic may be a little less in float64.
    levels = np.floor(np.tensordot(matrix, image.astype(np.float64), 1) + 0.5 + 1e-9)
    return np.clip(levels, 0, 255)


def scaled(image: np.ndarray, scale: int) -> np.ndarray:
    return reference_pass(reference_pass(image, scale).T, scale).T


@pytest.mark.parametrize("scale", [2, 3, 4])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_the_definition_in_float64(scale: int, data: st.DataObject) -> None:
    sides = st.integers(1, 8).map(lambda part: scale * part)
    image = data.draw(st.tuples(sides, sides).flatmap(lambda shape: arrays(np.uint8, shape)))
    assert np.array_equal(downscale(torch.from_numpy(image), scale).numpy(), scaled(image, scale))


def test_taps_of_x2() -> None:
    assert taps(2) == ((-3, -9, 29, 111, 111, 29, -9, -3), 256)


@pytest.mark.parametrize(("scale", "count"), [(3, 11), (4, 16)])
def test_taps_of_other_scales_are_the_kernel(scale: int, count: int) -> None:
    weights, total = taps(scale)
    positions = np.arange(count) - (count - 1) / 2
    np.testing.assert_allclose(
        np.array(weights) / total, keys_kernel(positions / scale) / scale, atol=1e-15
    )


def test_both_passes_are_clipped() -> None:
    """Black and white blocks overshoot already in the first pass."""
    image = np.kron(np.indices((6, 7)).sum(0) % 2, np.ones((4, 4))).astype(np.uint8) * 255
    assert np.array_equal(downscale(torch.from_numpy(image)).numpy(), scaled(image, 2))


@given(level=st.integers(0, 255), height=SIDES, width=SIDES)
def test_constant_images_stay_constant(level: int, height: int, width: int) -> None:
    image = torch.full((3, height, width), level, dtype=torch.uint8)
    assert torch.equal(
        downscale(image), torch.full((3, height // 2, width // 2), level, dtype=torch.uint8)
    )


def test_channels_and_batches_are_degraded_independently() -> None:
    images = torch.randint(
        0, 256, (2, 3, 10, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    together = downscale(images)
    assert all(
        torch.equal(together[i, c], downscale(images[i, c])) for i in range(2) for c in range(3)
    )


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 4, 5), (3, 0, 4)])
def test_odd_and_empty_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 2"):
        downscale(torch.zeros(shape, dtype=torch.uint8))


def test_modcrop_drops_the_last_rows_and_columns() -> None:
    image = torch.arange(3 * 5 * 7).view(3, 5, 7)
    assert torch.equal(modcrop(image, 2), image[:, :4, :6])
    assert torch.equal(modcrop(image, 4), image[:, :4, :4])
    assert torch.equal(modcrop(image[:, :4, :6], 2), image[:, :4, :6])


@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14), ("B100", 100)])
def test_benchmark_lr_images_are_equal_in_every_pixel(
    research_images, name: str, count: int
) -> None:
    files = sorted((research_images / "benchmark" / name).glob("*_HR.png"))
    assert len(files) == count
    for path in files:
        given_lr = read_image(path.with_name(path.name.replace("_HR", "_LR")))
        assert torch.equal(downscale(modcrop(read_image(path), 2)), given_lr), path.name
