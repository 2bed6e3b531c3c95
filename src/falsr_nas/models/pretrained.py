"""Models as folders, in the manner of Hugging Face's hub, on the local disk: weights, a config to read, a model card.

A folder holds ``model.safetensors`` (the project's own form, whole in itself), ``config.json`` (genome, target, scale and provenance) and,
where the model has a card, ``README.md``. Every command takes the folder as its ``model``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from falsr_nas.errors import UserError
from falsr_nas.files import write_atomically
from falsr_nas.models.model_file import (
    CONFIG,
    WEIGHTS,
    Model,
    ModelFileError,
    about,
    load_model,
    save_model,
)

CARD = "README.md"
"""The model card of a folder."""


def from_pretrained(folder: str | os.PathLike[str]) -> Model:
    """The model of a folder: its ``network`` in evaluation form on the CPU, its name and provenance.

    Raises:
        UserError: when there is no such folder, it holds no model, or its config says another network than its weights.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ModelFileError(f"{path}: no such folder; models are not downloaded")
    return load_model(path)


def save_pretrained(model: Model, folder: str | os.PathLike[str], card: str | None = None) -> None:
    """Write a model as a folder, which is made where it is missing; each file is written whole or not at all.

    Args:
        model: to write.
        folder: an older model there is replaced.
        card: the model card, in Markdown; None leaves a card that is there.

    Raises:
        UserError: when the folder cannot be made, or a file not be written.
    """
    path = Path(folder).expanduser()
    config = {"model_type": "falsr_nas", **about(model.network, model.provenance)}
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from error
    write_atomically(path / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if card is not None:
        write_atomically(path / CARD, card.encode())
    save_model(
        path / WEIGHTS, model.network, model.provenance
    )  # last: its presence says that all is there
