"""What bicubic interpolation computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from falsr_nas.networks.bicubic import Bicubic, bicubic
from falsr_nas.space.ends import BICUBIC


@pytest.mark.parametrize("scale", BICUBIC.values())
def test_outputs_are_larger_by_the_scale(scale: int) -> None:
    network, s = Bicubic(scale).eval(), scale
    with torch.inference_mode():
        output = network(torch.rand(2, network.planes, 13, 16))
    assert output.shape == (2, network.planes, 13 * s, 16 * s)


def test_bicubic_is_keys_interpolation() -> None:
    x = torch.rand(2, 3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    taps = np.array(
        [-0.0234375, 0.2265625, 0.8671875, -0.0703125]
    )  # a = -0.5 at the distances 1.75, 0.75, 0.25, 1.25
    planes = x.numpy()
    for axis in (2, 3):
        padded = np.pad(planes, [(2, 2) if i == axis else (0, 0) for i in range(4)], mode="edge")
        size = planes.shape[axis]
        even = sum(t * np.take(padded, range(i, i + size), axis) for i, t in enumerate(taps))
        odd = sum(
            t * np.take(padded, range(i + 1, i + 1 + size), axis) for i, t in enumerate(taps[::-1])
        )
        planes = np.stack([even, odd], axis + 1).reshape(
            [2 * s if i == axis else s for i, s in enumerate(planes.shape)]
        )
    np.testing.assert_allclose(bicubic(x).numpy(), planes, atol=1e-12)


def test_bicubic_keeps_what_is_flat() -> None:
    torch.testing.assert_close(
        bicubic(torch.full((1, 1, 3, 3), 0.7)), torch.full((1, 1, 6, 6), 0.7)
    )
