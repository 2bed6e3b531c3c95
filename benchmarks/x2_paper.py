"""The search ``+experiment=x2_paper`` with stand-ins for DIV2K, to measure its cost without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import hydra
import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from falsr_nas.cli.config import config_path
from falsr_nas.data.settings import PhotographsSettings
from falsr_nas.data.sources import find_images
from falsr_nas.search.config import SCHEMAS, SearchConfig

VAL_IMAGES = 100
"""Validation images of DIV2K."""

VAL_SHAPE = (1356, 2040)
"""Height and width of most of them, in pixels."""


def x2_paper(root: Path, val_images: int, val_shape: tuple[int, int]) -> SearchConfig:
    """Write stand-ins for DIV2K into ``root``, and return the search's settings for them.

    Training images are scikit-image's photographs; validation images are its photographs repeated
    to ``val_shape`` (height, width).
    """
    photographs = find_images(PhotographsSettings())
    for part in ("train", "valid"):
        (root / f"DIV2K_{part}_HR").mkdir(parents=True)
    for file in photographs.train:
        shutil.copy(file.hr, root / "DIV2K_train_HR")
    for number in range(val_images):
        source = photographs.val[number % len(photographs.val)].hr
        with Image.open(source) as image:
            tile = np.asarray(image.convert("RGB"))
        repeats = [-(-side // size) for side, size in zip(val_shape, tile.shape, strict=False)]
        whole = np.tile(tile, (*repeats, 1))[: val_shape[0], : val_shape[1]]
        Image.fromarray(whole).save(root / "DIV2K_valid_HR" / f"{number:04}.png", compress_level=1)
    return search_config(["+experiment=x2_paper", f"data.root='{root}'"])


def search_config(overrides: list[str]) -> SearchConfig:
    """Return the settings of a search as its command composes them."""
    SCHEMAS.register("search")
    with hydra.initialize_config_dir(config_path(), version_base="1.3"):
        settings = OmegaConf.to_object(hydra.compose("search", overrides))
    assert isinstance(settings, SearchConfig)
    return settings
