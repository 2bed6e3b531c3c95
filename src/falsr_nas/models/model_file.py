"""Model files: one way to save a network, one to load whatever holds one.

``.safetensors`` is the project's own form: the weights, and in the file's metadata the genome (or a baseline's name), the scale and where
the weights came from. Lightning's ``.ckpt`` and FALSR's frozen TensorFlow graphs (``.pb``) can be loaded too, and folders that hold a
``model.safetensors`` (:mod:`falsr_nas.models.pretrained`). No form can run code.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from falsr_nas._version import __version__
from falsr_nas.errors import UserError
from falsr_nas.files import write_atomically
from falsr_nas.networks.baselines import BASELINES, Bicubic, baseline_name
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.networks.tf_import import load_graph
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.genome import SCALE, Genome, GenomeError

WEIGHTS = "model.safetensors"
"""The model file of a folder."""

LARGEST_FILE = 2**30
"""Bytes, far beyond any model of this family and its optimizer's state; our choice."""

CONFIG = "config.json"
"""What a folder's model is, for other programs to read; it must agree with the model file."""

_CHECKPOINT_PREFIXES = ("average.", "network.")
"""Where a training's checkpoint holds its network; the averaged weights, where there are some, are what it was trained for."""


class ModelFileError(UserError):
    """A model file that cannot be read or written; the message names it and says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network with its weights, in evaluation form.

    Attributes:
        network: on the CPU, in float32.
        name: the file's, without its ending, or the folder's.
        provenance: where the weights came from, e.g. ``{"source": "FALSR-A.pb", "sha256": "..."}``.
    """

    network: SuperResolver
    name: str
    provenance: Mapping[str, str]


def save_model(path: Path, network: SuperResolver, provenance: Mapping[str, str]) -> None:
    """Write a ``.safetensors`` file, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        network: a genome's network, alone or over bilinear interpolation, or a baseline.
        provenance: where the weights came from; short texts by name.

    Raises:
        ModelFileError: when ``path`` has another ending, or the network is neither a genome's nor a baseline.
        UserError: when the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise ModelFileError(f"{path}: models are saved as .safetensors")
    metadata = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in about(network, provenance).items()
    }
    if isinstance(network, BilinearResidual):
        network = network.network
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    write_atomically(path, safetensors.torch.save(weights, metadata))


def load_model(path: Path) -> Model:
    """The model of a ``.safetensors``, ``.ckpt`` or ``.pb`` file, or of a folder that :func:`falsr_nas.models.pretrained.save_pretrained` wrote.

    Raises:
        UserError: when there is no such file, or it is damaged, foreign, or another network than it says; the message is one line.
    """
    if path.is_dir():
        return _load_folder(path)
    loaders = {".safetensors": _load_safetensors, ".ckpt": _load_checkpoint, ".pb": _load_graph}
    loader = loaders.get(path.suffix)
    if loader is None:
        raise ModelFileError(f"{path}: a model file ends in {', '.join(loaders)}")
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise ModelFileError(
                f"{path}: {size} bytes is more than any model of this family; the limit is {LARGEST_FILE}"
            )
        network, provenance = loader(path)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster on CPUs
    return Model(network, path.stem, provenance)


def find_model(name: str) -> Model:
    """Return the model that a command's ``model`` setting names.

    Args:
        name: path of a model file or of a model's folder; or ``bicubic``, which has no weights.

    Raises:
        UserError: as :func:`load_model`.
    """
    if name == "bicubic":
        return Model(Bicubic(), name, {})
    return load_model(Path(name).expanduser())


def about(network: SuperResolver, provenance: Mapping[str, str]) -> dict[str, Any]:
    """What a model file says of its network beside the weights, as JSON: genome and target or a baseline's name, scale, provenance.

    Raises:
        ModelFileError: when the network is neither a genome's nor a baseline.
    """
    return {
        **_architecture(network),
        "scale": SCALE,
        "provenance": dict(provenance),
        "falsr_nas": __version__,
    }


def _architecture(network: SuperResolver) -> dict[str, Any]:
    target = "image"
    if isinstance(network, BilinearResidual):
        network, target = network.network, "residual"
    if isinstance(network, Network):
        return {"genome": network.genome.to_json(), "target": target}
    if (name := baseline_name(network)) is not None:
        return {"baseline": name}
    raise ModelFileError(f"{type(network).__name__} is neither a genome's network nor a baseline")


def _load_folder(folder: Path) -> Model:
    if not (folder / WEIGHTS).is_file():
        raise ModelFileError(f"{folder}: a folder without {WEIGHTS}, so not a model's")
    model = load_model(folder / WEIGHTS)
    _check_config(folder / CONFIG, _architecture(model.network))
    return replace(model, name=folder.resolve().name)


def _check_config(path: Path, architecture: Mapping[str, Any]) -> None:
    """Raise ModelFileError where a config says another network than the weights beside it; a folder may do without one."""
    try:
        config = _json(path.read_text("utf-8"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        config = None
    if not isinstance(config, dict):
        raise ModelFileError(f"{path}: not a JSON object")
    for name, value in {"scale": SCALE, **architecture}.items():
        if config.get(name) != value:
            raise ModelFileError(f"{path}: its {name} is not that of {WEIGHTS} beside it")


def _load_safetensors(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{path}: not a safetensors file, or cut short ({error})") from None
    if metadata.get("scale") != str(SCALE):
        raise ModelFileError(
            f"{path}: not a model of this project: its metadata has no scale {SCALE}"
        )
    if "baseline" in metadata:
        return _baseline(path, metadata["baseline"], weights), _provenance(metadata)
    return _assemble(
        path, _json(metadata.get("genome", "")), metadata.get("target", "image"), weights
    ), _provenance(metadata)


def _load_checkpoint(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    _check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelFileError(
            f"{path}: holds more than weights and plain values, so it is not opened: it could run code"
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise ModelFileError(
            f"{path}: not a checkpoint, or cut short ({type(error).__name__})"
        ) from None
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(settings, Mapping) or not isinstance(state, Mapping):
        raise ModelFileError(
            f"{path}: not a Lightning checkpoint: it has no hyper_parameters or no state_dict"
        )
    names = [str(name) for name in state]
    prefix = next(
        (
            prefix
            for prefix in _CHECKPOINT_PREFIXES
            if any(name.startswith(prefix) for name in names)
        ),
        "network.",
    )
    weights = {
        str(name).removeprefix(prefix): tensor
        for name, tensor in state.items()
        if str(name).startswith(prefix)
    }
    if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise ModelFileError(f"{path}: its state_dict holds something else than tensors")
    return _assemble(path, settings.get("genome"), settings.get("target", "image"), weights), {
        "source": path.name
    }


def _check_archive(path: Path) -> None:
    """Raise ModelFileError unless a checkpoint is a zip archive as PyTorch writes it, which stores its entries without packing them.

    So it cannot unfold in memory; and as entries are only read by their names, never written out, no name in it can lead anywhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except OSError:
        raise
    except Exception as error:  # as below
        raise ModelFileError(
            f"{path}: not a checkpoint, or cut short ({type(error).__name__})"
        ) from None
    if packed:
        raise ModelFileError(f"{path}: its entries are packed, as no checkpoint's are")


def _load_graph(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    network = load_graph(path)
    return network, {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _assemble(
    path: Path, genome: object, target: object, weights: Mapping[str, Tensor]
) -> SuperResolver:
    try:
        parsed = Genome.from_json(genome)
    except GenomeError as error:
        raise ModelFileError(f"{path}: {error}") from None
    if (
        genome_cost(parsed).params > path.stat().st_size
    ):  # a tensor may claim to be larger than what it stores
        raise ModelFileError(f"{path}: its genome has more weights than the file can hold")
    with torch.device("meta"):  # nothing is allocated by a genome that the weights do not bear out
        network = Network(parsed)
    _fill(path, network, weights)
    if target not in ("image", "residual"):
        raise ModelFileError(f"{path}: its target is {target!r}, expected image or residual")
    return BilinearResidual(network) if target == "residual" else network


def _baseline(path: Path, name: str, weights: Mapping[str, Tensor]) -> SuperResolver:
    if name not in BASELINES:
        raise ModelFileError(f"{path}: no baseline is called {name!r}: only {', '.join(BASELINES)}")
    network = BASELINES[name]()
    _fill(path, network, weights)
    return network


def _fill(path: Path, network: SuperResolver, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if different := sorted(wanted.keys() ^ weights.keys()):
        here = "lacks" if different[0] in wanted else "has too much:"
        raise ModelFileError(f"{path}: not the weights of its network: it {here} {different[0]!r}")
    for name, tensor in weights.items():
        if tensor.shape != wanted[name]:
            raise ModelFileError(
                f"{path}: {name!r} has shape {list(tensor.shape)}, its network needs {list(wanted[name])}"
            )
        if (
            not tensor.is_floating_point()
            or tensor.layout != torch.strided
            or not tensor.isfinite().all()
        ):
            raise ModelFileError(f"{path}: {name!r} holds something else than finite numbers")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)


def _provenance(metadata: Mapping[str, str]) -> dict[str, str]:
    content = _json(metadata.get("provenance", ""))
    return (
        {str(name): str(text) for name, text in content.items()}
        if isinstance(content, dict)
        else {}
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
