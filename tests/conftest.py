"""What tests share: where the measuring images are, and genomes for properties."""

import os
from pathlib import Path

import pytest

DATA = os.environ.get("FALSR_NAS_DATA")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of research images and networks, never part of the project."""
    if not DATA:
        pytest.skip("FALSR_NAS_DATA is unset: no research images to test on")
    return Path(DATA)
