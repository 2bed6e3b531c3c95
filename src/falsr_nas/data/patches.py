"""Training batches of random patches, cut from images in memory by tensor indexing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from falsr_nas.data.errors import DataError
from falsr_nas.data.images import LUMA, luma
from falsr_nas.data.pairs import Pair

CHOICES = 4  # uniform numbers per patch: image, row, column, symmetry
SYMMETRIES = 8  # of the square: vertical flip, horizontal flip and transposition, each or not


class PatchPool:
    """All training images on one device, and random patches of them.

    Images are packed pixel after pixel in two tensors, LR and HR, so a row of a patch is one run of
    bytes in any image. No step waits for the device, and no shape depends on random numbers: a CUDA
    graph can record all steps if the generator is registered with the graph.
    """

    def __init__(self, lr: Tensor, hr: Tensor, geometry: Tensor, min_side: int) -> None:
        """Store packed images; :meth:`pack` builds a pool from pairs.

        Args:
            lr: (P, 3) uint8, the LR pixels of all images.
            hr: (s^2 P, 3) uint8, the HR pixels, images in the same order; s is the scale.
            geometry: (3, images) int64: each image's first LR pixel, its LR height, its LR width.
            min_side: the shortest LR side of all images.
        """
        self._lr, self._hr, self._geometry = lr, hr, geometry
        self._luma = LUMA.to(lr.device)
        self._bits = torch.tensor([[1], [2], [4]], device=lr.device)
        self._min_side = min_side
        self._scale = math.isqrt(len(hr) // len(lr))

    @classmethod
    def pack(cls, pairs: list[Pair]) -> PatchPool:
        """Return the pool of these images, on the CPU.

        Args:
            pairs: the images; they are removed from the list, so that none is in memory twice.

        Raises:
            DataError: there are no images.
        """
        if not pairs:
            raise DataError("a patch pool needs at least one image")
        sizes = torch.tensor([pair.lr.shape[1:] for pair in pairs])  # (images, 2)
        ends = sizes.prod(1).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        lr = torch.empty(int(ends[-1]), 3, dtype=torch.uint8)
        density = pairs[0].hr[0].numel() // pairs[0].lr[0].numel()  # the scale squared
        hr = torch.empty(density * len(lr), 3, dtype=torch.uint8)
        while pairs:
            pair = pairs.pop()
            start, end = int(starts[len(pairs)]), int(ends[len(pairs)])
            lr[start:end] = pair.lr.flatten(1).t()
            hr[density * start : density * end] = pair.hr.flatten(1).t()
        return cls(lr, hr, torch.stack([starts, *sizes.unbind(1)]), int(sizes.min()))

    def __len__(self) -> int:
        return self._geometry.shape[1]

    @property
    def device(self) -> torch.device:
        """The device of the images and of the batches."""
        return self._lr.device

    def to(self, device: torch.device | str) -> PatchPool:
        """Return the pool on another device; tensors that are there already are shared."""
        return PatchPool(
            self._lr.to(device), self._hr.to(device), self._geometry.to(device), self._min_side
        )

    def hr_image(self, i: int) -> Tensor:
        """Return the HR image (3, sh, sw) uint8 of an index."""
        start, height, width = self._geometry[:, i].tolist()
        s = self._scale
        pixels = self._hr[s * s * start : s * s * (start + height * width)]
        return pixels.view(s * height, s * width, 3).permute(2, 0, 1)

    def replace(self, i: int, lr: Tensor) -> None:
        """Replace the LR image of an index by another (3, h, w) uint8, in place."""
        start, height, width = self._geometry[:, i].tolist()
        self._lr[start : start + height * width] = lr.flatten(1).t().to(self.device)

    def draw(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw uniform numbers that choose image, row, column and symmetry of patches.

        Args:
            batch_size: N.
            generator: on the pool's device.

        Returns:
            (4, N) float32 in [0, 1).
        """
        return torch.rand(CHOICES, batch_size, generator=generator, device=self.device)

    def cut(self, places: Tensor, patch_size: int) -> tuple[Tensor, Tensor]:
        """Cut patches from the images, in luma.

        Every image is equally likely, whatever its size (our choice); then every position in it;
        then each of the square's 8 symmetries. Columns of ``places`` are independent: processes
        that share a batch draw the whole batch, and each cuts its own columns.

        Args:
            places: (4, N) in [0, 1), from :meth:`draw`.
            patch_size: LR side p.

        Returns:
            LR luma (N, 1, p, p) and HR luma (N, 1, sp, sp), float32 in [0, 1]; s is the scale,
            and pixel (y, x) of LR is at (sy, sx) in HR.

        Raises:
            DataError: an image is smaller than the patch, or ``patch_size`` is below 1.
        """
        if not 1 <= patch_size <= self._min_side:
            raise DataError(
                f"patch_size is {patch_size}: it must be in 1..{self._min_side}, "
                "the shortest LR side of the training images"
            )
        image = _pick(places[0], len(self))
        flips = (_pick(places[3], SYMMETRIES) & self._bits).bool()  # (3, N)
        start, height, width = self._geometry[:, image].unbind()
        row = _pick(places[1], height - (patch_size - 1))
        column = _pick(places[2], width - (patch_size - 1))
        lr = self._gather(self._lr, start + row * width + column, width, flips, patch_size)
        # At x2, HR has twice as many rows of twice as many pixels: pixel (2y, 2x) of an image is at
        # 4yw + 2x.
        s = self._scale
        corner = s * s * (start + row * width) + s * column
        hr = self._gather(self._hr, corner, s * width, flips, s * patch_size)
        return lr, hr

    def _gather(
        self, pixels: Tensor, corner: Tensor, width: Tensor, flips: Tensor, side: int
    ) -> Tensor:
        """Return the luma of squares in images, flipped and transposed.

        Args:
            pixels: (P, 3) uint8.
            corner: (N,) indices of the top left pixels.
            width: (N,) widths of the images.
            flips: (3, N) bool: vertical flip, horizontal flip, transposition.
            side: of the squares.

        Returns:
            (N, 1, side, side) float32.
        """
        flipped, mirrored, transposed = flips[..., None, None].unbind()  # (N, 1, 1) each
        line = torch.arange(side, device=self.device)
        line = torch.where(flipped[:, 0], side - 1 - line, line)  # (N, side)
        # A view of all runs of ``side`` pixels, (P - side + 1, 3 side): a row of a patch is one.
        # index_select copies it as a whole; an index goes byte by byte.
        runs = pixels.as_strided((len(pixels) - side + 1, 3 * side), (3, 1))
        rows = runs.index_select(0, (corner[:, None] + line * width[:, None]).flatten())
        y = luma(rows.view(-1, side, side, 3), self._luma)  # (N, side, side)
        y = torch.where(mirrored, y.flip(2), y)
        y = torch.where(transposed, y.transpose(1, 2), y)
        return y.unsqueeze(1)


def _pick(uniform: Tensor, choices: Tensor | int) -> Tensor:
    """Return indices 0..choices - 1 from uniform numbers in [0, 1).

    The largest float32 below 1 is 1 - 2**-24, and its product with any n < 2**24 rounds to less
    than n, so no clamp is needed.
    """
    return (uniform * choices).long()
