from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from falsr_nas.data.errors import DataError
from falsr_nas.data.pairs import Pair
from falsr_nas.data.patches import PatchPool, _pick

SIZES = ((7, 11), (10, 6), (8, 8))  # LR height, width
BELOW_ONE = 1 - 2**-24  # the largest float32 that torch.rand gives


def coordinates(image: int, height: int, width: int) -> Tensor:
    """Return (3, H, W) uint8 with the image number, row and column of each pixel as its value."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.full_like(row, image), row, column]).to(torch.uint8)


def pairs(sizes: tuple[tuple[int, int], ...] = SIZES) -> list[Pair]:
    return [
        Pair(Path(f"{i}"), coordinates(i, h, w), coordinates(i, 2 * h, 2 * w))
        for i, (h, w) in enumerate(sizes)
    ]


def decode(y: Tensor) -> Tensor:
    """Return the coordinates (N, 3, H, W) of which ``y`` is the luma (N, 1, H, W).

    1000 times the luma in 8-bit levels is an integer.
    """
    grid = torch.cartesian_prod(torch.arange(3), torch.arange(24), torch.arange(24))
    code = grid @ torch.tensor([299, 587, 114])
    assert len(code.unique()) == len(code)  # each luma belongs to one pixel
    place = torch.full((int(code.max()) + 1,), -1)
    place[code] = torch.arange(len(code))
    found = place[(y.double() * 255_000).round().long()]
    assert (found >= 0).all()
    return grid[found].squeeze(1).permute(0, 3, 1, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_of_all_scales_are_aligned(scale: int) -> None:
    """HR images repeat the pixels of LR, so HR patches repeat the pixels of LR patches."""
    images = []
    for i, shape in enumerate([(9, 13), (12, 8)]):
        lr = torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator(i))
        hr = lr.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
        images.append(Pair(Path(f"{i}.png"), lr, hr))
    lr_luma, hr_luma = sample(PatchPool.pack(images), 200, 5, generator())
    assert hr_luma.shape == (200, 1, 5 * scale, 5 * scale)
    repeated = lr_luma.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    assert torch.equal(hr_luma, repeated)


def sample(
    pool: PatchPool, batch_size: int, patch_size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a random batch."""
    return pool.cut(pool.draw(batch_size, generator), patch_size)


def test_patches_are_squares_of_the_same_image_and_symmetry() -> None:
    """HR coordinates are twice those of LR, and both are under the same symmetry."""
    lr_luma, hr_luma = sample(PatchPool.pack(pairs()), 500, 5, generator())
    assert (
        lr_luma.shape == (500, 1, 5, 5)
        and hr_luma.shape == (500, 1, 10, 10)
        and lr_luma.dtype == hr_luma.dtype == torch.float32
    )
    lr, hr = decode(lr_luma), decode(hr_luma)
    assert (lr[:, 0] == lr[:, 0, :1, :1]).all()
    # HR pixels halved are the LR coordinates, each four times.
    repeated = lr.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(hr[:, 0], repeated[:, 0])
    assert torch.equal(hr[:, 1:] // 2, repeated[:, 1:])
    # Neighbours are one pixel apart in both, so no pixel is missing or duplicated.
    for image in (lr, hr):
        down, right = image[:, 1:].diff(dim=2), image[:, 1:].diff(dim=3)
        assert (down == down[:, :, :1, :1]).all() and (right == right[:, :, :1, :1]).all()
        assert (down[..., 0, 0].abs().sum(1) == 1).all() and (
            right[..., 0, 0].abs().sum(1) == 1
        ).all()
        assert ((down[..., 0, 0] * right[..., 0, 0]).sum(1) == 0).all()  # perpendicular
    assert torch.equal(lr[:, 1:].diff(dim=2)[..., 0, 0], hr[:, 1:].diff(dim=2)[..., 0, 0])
    assert torch.equal(lr[:, 1:].diff(dim=3)[..., 0, 0], hr[:, 1:].diff(dim=3)[..., 0, 0])


def test_images_positions_and_symmetries_are_uniform() -> None:
    patch, draws = 5, 40_000
    lr, _ = sample(PatchPool.pack(pairs()), draws, patch, generator(1))
    places = decode(lr)
    image = places[:, 0, 0, 0]
    corner = places[:, 1:].flatten(2).amin(2)  # (N, 2): row, column
    assert chisquare(image.bincount(minlength=len(SIZES))).pvalue > 1e-3
    for i, (height, width) in enumerate(SIZES):
        rows, columns = height - patch + 1, width - patch + 1
        position = (corner[:, 0] * columns + corner[:, 1])[image == i]
        assert chisquare(position.bincount(minlength=rows * columns)).pvalue > 1e-3
        assert position.max() < rows * columns
    steps = torch.cat(
        [places[:, 1:].diff(dim=d)[..., 0, 0] for d in (2, 3)], 1
    )  # (N, 4): steps along rows and columns
    walks, counts = steps.unique(dim=0, return_counts=True)
    assert len(walks) == 8
    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("patch", [1, 6])
def test_extreme_draws_stay_inside_their_image(patch: int) -> None:
    places = torch.cartesian_prod(
        *[torch.tensor([0.0, BELOW_ONE])] * 4
    ).t()  # smallest and largest of every choice
    lr_luma, hr_luma = PatchPool.pack(pairs()).cut(places, patch)
    lr, hr = decode(lr_luma), decode(hr_luma)
    for places_of, scale in ((lr, 1), (hr, 2)):
        for i in range(places.shape[1]):
            image = round(float(places[0, i]) * 2)
            assert (places_of[i, 0] == image).all()
            rows, columns = places_of[i, 1], places_of[i, 2]
            height, width, side = SIZES[image][0] * scale, SIZES[image][1] * scale, patch * scale
            assert (rows.min(), rows.max()) == (
                (0, side - 1) if places[1, i] == 0 else (height - side, height - 1)
            )
            assert (columns.min(), columns.max()) == (
                (0, side - 1) if places[2, i] == 0 else (width - side, width - 1)
            )


def test_the_largest_draw_picks_the_last_choice() -> None:
    choices = torch.cat(
        [
            torch.arange(1, 70_000),
            2 ** torch.arange(1, 24),
            2 ** torch.arange(2, 24) - 1,
            2 ** torch.arange(2, 24) + 1,
        ]
    )
    assert torch.equal(_pick(torch.full(choices.shape, BELOW_ONE), choices), choices - 1)


def test_a_seed_determines_the_patches() -> None:
    pool = PatchPool.pack(pairs())
    first, again, other = (sample(pool, 8, 5, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    shared = generator(3)
    assert not torch.equal(sample(pool, 8, 5, shared)[0], sample(pool, 8, 5, shared)[0])


def test_processes_can_share_a_batch() -> None:
    pool = PatchPool.pack(pairs())
    whole = sample(pool, 8, 5, generator())
    for rank in range(2):
        part = pool.cut(pool.draw(8, generator())[:, rank::2], 5)
        assert torch.equal(part[0], whole[0][rank::2]) and torch.equal(part[1], whole[1][rank::2])


def test_luma_is_in_full_precision_under_autocast() -> None:
    pool = PatchPool.pack(pairs())
    expected = sample(pool, 8, 5, generator())
    with torch.autocast("cpu", torch.bfloat16):
        given = sample(pool, 8, 5, generator())
    assert torch.equal(given[0], expected[0]) and torch.equal(given[1], expected[1])


def test_nothing_is_read_back_from_the_device() -> None:
    """Fake tensors have no values: code that reads one, or whose shapes depend on one, raises."""
    pool = PatchPool.pack(pairs())
    with FakeTensorMode(allow_non_fake_inputs=True):
        lr, hr = pool.cut(torch.rand(4, 8), 5)
        assert lr.shape == (8, 1, 5, 5) and hr.shape == (8, 1, 10, 10)
        with pytest.raises(DataDependentOutputException):
            lr.sum().item()


def test_a_patch_larger_than_an_image_is_refused() -> None:
    pool = PatchPool.pack(pairs())
    assert sample(pool, 2, 6, generator())[0].shape == (2, 1, 6, 6)
    for patch in (7, 0):
        with pytest.raises(DataError, match=rf"patch_size is {patch}: it must be in 1\.\.6"):
            sample(pool, 2, patch, generator())


def test_the_pool_has_three_bytes_per_pixel_and_empties_the_list() -> None:
    images = pairs()
    pool = PatchPool.pack(images)
    assert images == [] and len(pool) == 3
    held = pool._lr.nbytes + pool._hr.nbytes
    assert held == sum(h * w for h, w in SIZES) * (1 + 4) * 3
    with pytest.raises(DataError, match="at least one image"):
        PatchPool.pack([])
