"""Validation images, on which candidates are scored during a search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, cat

from falsr_nas.data.images import luma
from falsr_nas.data.pairs import Pair


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Validation images as luma in [0, 1], float32.

    Attributes:
        names: file names, one per image.
        lr: (1, 1, h, w) per image.
        hr: (1, 1, sh, sw) per image; s is the scale.
    """

    names: tuple[str, ...]
    lr: tuple[Tensor, ...]
    hr: tuple[Tensor, ...]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> ValidationSet:
        """Return the luma of these pairs."""
        return cls(
            tuple(pair.path.name for pair in pairs),
            tuple(_plane(pair.lr) for pair in pairs),
            tuple(_plane(pair.hr) for pair in pairs),
        )

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, max_pixels: int) -> list[tuple[Tensor, Tensor]]:
        """Return all images in batches of equal shape: (N, 1, h, w) and (N, 1, sh, sw).

        Args:
            max_pixels: LR pixels that a batch may hold; a larger image is a batch of its own.
        """
        shapes: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, lr in enumerate(self.lr):
            shapes[tuple(lr.shape)].append(i)
        batches = []
        for alike in shapes.values():
            size = max(1, max_pixels // self.lr[alike[0]].numel())
            for first in range(0, len(alike), size):
                chosen = alike[first : first + size]
                batches.append(
                    (cat([self.lr[i] for i in chosen]), cat([self.hr[i] for i in chosen]))
                )
        return batches


def _plane(image: Tensor) -> Tensor:
    """Return the luma of (3, H, W) uint8 as (1, 1, H, W)."""
    return luma(image.permute(1, 2, 0))[None, None]
