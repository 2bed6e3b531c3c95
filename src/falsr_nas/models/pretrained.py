"""Models as folders on the local disk, laid out as on the Hugging Face Hub, and shipped models.

A folder holds ``model.safetensors`` (a complete model file), ``config.json`` (genome, target, scale
and provenance, for other programs) and optionally a model card, ``README.md``. Every command takes
such a folder as its ``model``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from falsr_nas.core.files import write_atomically
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import (
    CONFIG,
    load_model,
    model_metadata,
    save_model,
)
from falsr_nas.models.names import WEIGHTS, ModelFileError
from falsr_nas.models.shipped import SHIPPED_MODELS, shipped_folder

CARD = "README.md"
"""Name of the model card in a model's folder."""


def from_pretrained(name_or_folder: str | os.PathLike[str]) -> Model:
    """Load a model that comes with the package, or the model of a folder.

    Args:
        name_or_folder: a name of :data:`falsr_nas.models.shipped.SHIPPED_MODELS`, or a folder as
            written by :func:`save_pretrained`. Names may be in any case, and come first: a folder
            of such a name is given as ``./NAME``.

    Raises:
        UserError: there is no such model or folder, the folder holds no model, or its config
            describes another network than its weights.
    """
    path = shipped_folder(str(name_or_folder)) or Path(name_or_folder).expanduser()
    if not path.is_dir():
        raise ModelFileError(
            f"{path}: no such folder, and no model that comes with the package"
            f" ({', '.join(SHIPPED_MODELS)}); models are not downloaded"
        )
    return load_model(path)


def save_pretrained(model: Model, folder: str | os.PathLike[str], card: str | None = None) -> None:
    """Write a model as a folder. Each file is written atomically, the weights last.

    Args:
        model: the model to write.
        folder: created if it does not exist; a model in it is replaced.
        card: the model card in Markdown; None leaves an existing card as it is.

    Raises:
        UserError: the folder cannot be created, or a file cannot be written.
    """
    path = Path(folder).expanduser()
    config = {"model_type": "falsr_nas", **model_metadata(model.network, model.provenance)}
    write_atomically(path / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if card is not None:
        write_atomically(path / CARD, card.encode())
    # Last: a folder with weights is complete.
    save_model(path / WEIGHTS, model.network, model.provenance)
