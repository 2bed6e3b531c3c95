"""What tests share: where the measuring images are, and the controllers of plug-ins."""

import os

# Before torch is imported. Tests compute little: threads that wait for each other on a busy
# machine cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest

from falsr_nas.core.plugins import load_plugins, unload

DATA = os.environ.get("FALSR_NAS_DATA")
CONTROLLER_PLUGINS = tuple(
    Path(__file__).parents[1] / "plugins" / f"{name}.py"
    for name in ("aging", "optuna_sampler", "pymoo_nsga2")
)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what commands remember away from the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of research images and networks, never part of the project."""
    if not DATA:
        pytest.skip("FALSR_NAS_DATA is unset: no research images to test on")
    return Path(DATA)


@pytest.fixture(scope="module")
def controllers_of_plugins() -> Iterator[None]:
    """The controllers of ``plugins/``, which are registered while the tests of a module run."""
    loaded = load_plugins(CONTROLLER_PLUGINS)
    yield
    for plugin in loaded:
        unload(plugin.name)
