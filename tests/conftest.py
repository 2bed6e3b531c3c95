"""What tests share: where the measuring images are, and genomes for properties."""

import os

# Before torch is imported. Tests compute little: threads that wait for each other on a busy
# machine cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

DATA = os.environ.get("FALSR_NAS_DATA")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of research images and networks, never part of the project."""
    if not DATA:
        pytest.skip("FALSR_NAS_DATA is unset: no research images to test on")
    return Path(DATA)
