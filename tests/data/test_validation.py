from __future__ import annotations

from pathlib import Path

import pytest
import torch

from falsr_nas.data.images import luma
from falsr_nas.data.pairs import Pair
from falsr_nas.data.validation import luma_planes, validation_batches

SIZES = ((4, 6), (5, 5), (4, 6), (4, 6), (6, 4))


@pytest.fixture
def pairs() -> list[Pair]:
    random = torch.Generator().manual_seed(0)

    def noise(height: int, width: int) -> torch.Tensor:
        return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=random)

    return [
        Pair(Path(f"dir/{i}.png"), noise(h, w), noise(2 * h, 2 * w))
        for i, (h, w) in enumerate(SIZES)
    ]


def test_images_are_luma_planes(pairs: list[Pair]) -> None:
    for pair, (lr, hr) in zip(pairs, luma_planes(pairs), strict=True):
        assert torch.equal(lr[0, 0], luma(pair.lr.permute(1, 2, 0)))
        assert torch.equal(hr[0, 0], luma(pair.hr.permute(1, 2, 0)))


@pytest.mark.parametrize(
    ("max_pixels", "sizes"), [(1, [1] * 5), (47, [1] * 5), (48, [2, 1, 1, 1]), (10_000, [3, 1, 1])]
)
def test_batches_hold_each_image_once_within_the_limit(
    pairs: list[Pair], max_pixels: int, sizes: list[int]
) -> None:
    batches = validation_batches(pairs, max_pixels)
    assert [len(lr) for lr, _ in batches] == sizes
    assert all(hr.shape == (len(lr), 1, 2 * lr.shape[2], 2 * lr.shape[3]) for lr, hr in batches)
    served = sorted(
        ((lr, hr) for batch in batches for lr, hr in zip(*batch, strict=True)),
        key=lambda pair: float(pair[0].sum()),
    )
    expected = sorted(luma_planes(pairs), key=lambda pair: float(pair[0].sum()))
    assert all(
        torch.equal(a, c[0]) and torch.equal(b, d[0])
        for (a, b), (c, d) in zip(served, expected, strict=True)
    )
