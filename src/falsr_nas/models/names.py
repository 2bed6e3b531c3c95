"""Which names and paths denote models. Does not import torch, so that commands can ask early."""

from __future__ import annotations

from pathlib import Path

from falsr_nas.models.shipped import shipped_folder

MODEL_FILES = (".safetensors", ".ckpt", ".pb", ".onnx")
"""Suffixes of model files."""


def names_model(text: str) -> bool:
    """Return whether a text names a model rather than a genome.

    It is then the name of a shipped model, a folder, or the path of a file, which need not exist,
    with one of :data:`MODEL_FILES`.
    """
    path = Path(text).expanduser()
    return shipped_folder(text) is not None or path.suffix in MODEL_FILES or path.is_dir()
