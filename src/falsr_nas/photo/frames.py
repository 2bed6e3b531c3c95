"""Frames of a video through a pipe: raw RGB in, raw RGB of the larger size out.

Each frame is read, upscaled and written before the next one is read, so that memory does not grow
with the number of frames.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from falsr_nas.core.errors import UserError
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.photo.photograph import Photograph, check_memory, upscale_photograph

_CHANNELS = 3


def upscale_stream(
    network: SuperResolver,
    source: BinaryIO,
    target: BinaryIO,
    *,
    height: int,
    width: int,
    memory: int,
    self_ensemble: bool = False,
) -> int:
    """Upscale frames until the source ends.

    Args:
        network: in evaluation mode.
        source: frames of 8-bit RGB, row by row, without anything between them (ffmpeg's
            ``-f rawvideo -pix_fmt rgb24``).
        target: gets the upscaled frames in the same form, each as soon as it is ready.
        height: of a frame.
        width: of a frame.
        memory: bytes that the whole process may use.
        self_ensemble: average over the eight flips and rotations of each frame.

    Returns:
        The number of frames.

    Raises:
        UserError: the source ends within a frame, or ``memory`` is too small.
        BrokenPipeError: the reader of the target has ended.
    """
    # Before the first frame is read; these pixels take no memory.
    blank = Photograph(np.broadcast_to(np.uint8(0), (height, width, _CHANNELS)))
    check_memory(network, blank, memory, self_ensemble)
    size = height * width * _CHANNELS
    count = 0
    while content := _read(source, size):
        if len(content) < size:
            raise UserError(
                f"the input ends within frame {count + 1}, after {len(content)} of its {size}"
                f" bytes: is its size {width}x{height}, in rgb24?"
            )
        pixels = np.frombuffer(content, np.uint8).reshape(height, width, _CHANNELS)
        upscaled = upscale_photograph(network, Photograph(pixels), memory, self_ensemble)
        target.write(np.ascontiguousarray(upscaled.pixels).data)
        target.flush()
        count += 1
    return count


def _read(source: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes, or fewer where the source ends; a pipe gives a part at a time."""
    parts = []
    while size and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
