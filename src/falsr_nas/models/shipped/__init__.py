"""Models that come with the package, each in a folder of this one.

They were searched, trained and scored by the commands of ``experiments/x2_tiny``; the card in each
folder has the recipe and the scores. :func:`falsr_nas.from_pretrained` and the ``model`` setting of
the commands take their names.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

SHIPPED_MODELS = tuple(sorted(path.parent.name for path in _FOLDER.glob("*/model.safetensors")))
"""Names of the models, for example ``falsr-nano-x2``."""


def shipped_folder(name: str) -> Path | None:
    """Return the folder of the model of this name, in any case; None if none is shipped."""
    return _FOLDER / name.lower() if name.lower() in SHIPPED_MODELS else None
