"""The ends of a network: its stem and its upsampler (paper, Figure 1).

The paper has one choice. The narrower stems and the cheaper upsampler are for small networks, of
which the paper's ends would be the larger part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from falsr_nas.space.errors import GenomeError

SCALE = 2
"""Upscaling factor of the paper and its published networks."""

SCALES = (2, 3, 4)
"""Upscaling factors that a network may have."""

BICUBIC: dict[str, int] = {"bicubic": 2, "bicubic_x3": 3, "bicubic_x4": 4}
"""Names of bicubic interpolation, which models can be compared with, and their scales."""

UNSHUFFLES = (1, 2)
"""Sides of the squares of pixels that a stem may turn into planes."""

STEM = 32
"""Channels of node 0 in the paper."""

DEFAULT_STEMS = {2: STEM, 3: 36, 4: STEM}
"""Channels of node 0 by scale where a space names none; x3 shuffles multiples of 9 channels."""

UPSAMPLERS = {
    "paper": "sub-pixel upsampling",
    "subpixel": "sub-pixel convolution",
    "skipsubpixel": "sub-pixel convolution",
}
"""Upsamplers by name, and what tables and drawings call them."""

MOST_CHANNELS = 1024
"""Upper bound for channels in genomes from untrusted input."""

UPSAMPLER = re.compile(r"([a-z]{1,32})_x(\d{1,4})")
"""Name of an upsampler with its scale."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a network: its stem and its upsampler.

    All stems are one 3x3 convolution and ReLU, of the image or of its 2x2 pixels as four planes, so
    that all layers work on a quarter of the pixels (``unshuffle``). The upsamplers are:

    - ``paper``: a 3x3 convolution to the stem's width and ReLU; node 0 is added (the global skip);
      sub-pixel shuffle; a 3x3 convolution to the output, at high resolution.
    - ``subpixel``: a 3x3 convolution to the sub-pixels as channels and the shuffle, as in ESPCN,
      ECBSR and SESR. There is no global skip: a link from node 0 to the upsampler does the same
      with weights of its own.
    - ``skipsubpixel``: node 0 is added to what the upsampler reads (SESR's long skip), then as
      ``subpixel``. Where these are not as many channels as the stem's, nothing is added, and the
      canonical genome has ``subpixel``.

    Attributes:
        stem: channels of node 0, 1..1024. The upsampler of the paper shuffles as many channels, so
            they are a multiple of :attr:`shuffle` squared.
        upsampler: name of the upsampler.
        scale: upscaling factor, 2..4.
        unshuffle: side of the squares of pixels that the stem turns into planes: 1 for none, or 2.

    Raises:
        GenomeError: a value is out of range, or they do not fit together.
    """

    stem: int = STEM
    upsampler: str = "paper"
    scale: int = SCALE
    unshuffle: int = 1

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise GenomeError(f"scale x{self.scale}: networks are for x2, x3 or x4")
        if self.upsampler not in UPSAMPLERS:
            choices = ", ".join(UPSAMPLERS)
            raise GenomeError(f"unknown upsampler {self.upsampler!r}: choose {choices}")
        if not 1 <= self.stem <= MOST_CHANNELS:
            raise GenomeError(f"stem: channels must be in 1..{MOST_CHANNELS}")
        if self.unshuffle not in UNSHUFFLES:
            raise GenomeError(f"stem: unshuffle is {self.unshuffle}: it must be 1 or 2")
        if self.merges and self.stem % self.shuffle**2:
            raise GenomeError(
                f"stem: {self.stem} channels cannot be shuffled into"
                f" {self.shuffle}x{self.shuffle} sub-pixels"
            )

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(stem: int, name: str, unshuffle: int = 1) -> Ends:
        """Return the ends with an upsampler's name and scale, such as ``subpixel_x2``.

        Raises:
            GenomeError: they are not valid.
        """
        match = UPSAMPLER.fullmatch(name)
        if match is None:
            raise GenomeError(f"{name!r} is not an upsampler: expected a name such as subpixel_x2")
        return Ends(stem, match[1], int(match[2]), unshuffle)

    @property
    def shuffle(self) -> int:
        """Factor of the shuffle at the end."""
        return self.scale * self.unshuffle

    @property
    def density(self) -> float:
        """Pixels on which the layers work per low-resolution pixel: 1 or 0.25."""
        return 1 if self.unshuffle == 1 else 1 / self.unshuffle**2

    @property
    def stem_name(self) -> str:
        """Name of the stem, such as ``stem_f32``, or ``stem_f32_u2`` with an unshuffle."""
        return f"stem_f{self.stem}" + (f"_u{self.unshuffle}" if self.unshuffle > 1 else "")

    @property
    def name(self) -> str:
        """Name and scale of the upsampler, such as ``subpixel_x2``."""
        return f"{self.upsampler}_x{self.scale}"

    @property
    def label(self) -> str:
        """What tables and drawings call the upsampler; the scale is left out at x2."""
        label = UPSAMPLERS[self.upsampler]
        return label if self.scale == SCALE else f"{label} x{self.scale}"

    @property
    def merges(self) -> bool:
        """Whether there is a convolution to the stem's width before that to the output."""
        return self.upsampler == "paper"

    def skips(self, inputs: int) -> bool:
        """Whether node 0 is added at the end, where the upsampler reads ``inputs`` channels."""
        return self.merges or (self.upsampler == "skipsubpixel" and inputs == self.stem)

    def canonical(self, inputs: int) -> Ends:
        """Return the ends of the same network whose upsampler reads ``inputs`` channels."""
        useless = self.upsampler == "skipsubpixel" and inputs != self.stem
        return replace(self, upsampler="subpixel") if useless else self


PAPER_ENDS = Ends()
"""The ends of the paper's networks. Texts and JSON of genomes leave their upsampler out."""
