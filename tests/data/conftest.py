from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def research_images() -> Path:
    """Return the folder of benchmark and training images."""
    root = os.environ.get("FALSR_NAS_DATA")
    if not root:
        pytest.skip("FALSR_NAS_DATA names no folder of benchmark images")
    return Path(root)


@pytest.fixture
def save_noise() -> Callable[..., Path]:
    """Return a function that writes an image of noise."""

    def save(path: Path, width: int = 40, height: int = 36, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return save
