"""Models that come with the package, each in a folder of this one.

They were trained and scored by the commands of ``experiments/family``, and those with ``nano`` and
``tiny`` in their names by those of ``experiments/x2_tiny``. The card in each folder has the recipe
and the scores. :func:`falsr_nas.from_pretrained` and the ``model`` setting of the commands take
their names.
"""

from __future__ import annotations

from pathlib import Path

from falsr_nas.core.errors import UserError

_FOLDER = Path(__file__).parent

SHIPPED_MODELS = tuple(sorted(path.parent.name for path in _FOLDER.glob("*/model.safetensors")))
"""Names of the models, for example ``falsr-nano-x2``."""


def shipped_folder(name: str) -> Path | None:
    """Return the folder of the model of this name, in any case; None if none is shipped."""
    return _FOLDER / name.lower() if name.lower() in SHIPPED_MODELS else None


def best_name(scale: int, speed: str, *, is_photo: bool) -> str:
    """Return the name of the model for a scale and a speed.

    Raises:
        UserError: none is shipped; the message names those of the scale.
    """
    kind = "photo" if is_photo else "clean"
    name = f"falsr-x{scale}-{kind}-{speed}"
    if name in SHIPPED_MODELS:
        return name
    others = [other for other in SHIPPED_MODELS if f"x{scale}-{kind}" in other]
    known = f"those for x{scale} are {', '.join(others)}" if others else f"none is for x{scale}"
    raise UserError(f"{name} does not come with the package: {known}")
