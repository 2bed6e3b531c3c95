"""Model files: saving a network, and loading one from any of the supported formats.

``.safetensors`` is the project's own format: the weights and, in the file's metadata, the genome,
the scale and the origin of the weights. Lightning's ``.ckpt``, FALSR's
frozen TensorFlow graphs (``.pb``), ONNX files of any origin (:mod:`falsr_nas.models.onnx_file`),
and folders with a ``model.safetensors`` (:mod:`falsr_nas.models.pretrained`) can be loaded too.
Loading never runs code from a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from falsr_nas.core.files import write_atomically
from falsr_nas.core.plugins import missing, warn_of_changes
from falsr_nas.core.version import __version__
from falsr_nas.models.model import Model
from falsr_nas.models.names import WEIGHTS, ModelFileError, check_model_path, model_path
from falsr_nas.models.onnx_file import load_onnx
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.checkpoint import read_checkpoint
from falsr_nas.networks.network import BilinearResidual, Network, without_residual
from falsr_nas.networks.runtime_network import RuntimeNetwork
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.cell import from_plugins
from falsr_nas.space.cost import genome_cost
from falsr_nas.space.ends import BICUBIC, SCALES
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome

CONFIG = "config.json"
"""Name of the file in a model's folder that describes the model for other programs."""

LARGEST_FILE = 2**30
"""Most bytes of a model file: far more than any model of this family and its optimizer's state.

Our choice."""

# Prefixes of the weights' names in a training's checkpoint. The averaged weights come first: they
# are the result of the training, where it computed them.
_DIGEST = "sha256"

_CHECKPOINT_PREFIXES = ("average.", "network.")


def save_model(path: Path, network: SuperResolver, provenance: Mapping[str, str]) -> None:
    """Write a ``.safetensors`` file, atomically.

    Args:
        path: the file; an existing one is replaced.
        network: the network of a genome, with or without :class:`BilinearResidual`.
        provenance: origin of the weights, as short texts by name.

    Raises:
        ModelFileError: ``path`` has another suffix, or the network is of another kind.
        UserError: the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise ModelFileError(f"{path}: models are saved as .safetensors")
    if isinstance(network, Bicubic):
        raise ModelFileError("bicubic interpolation has no weights that could be saved")
    metadata = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in model_metadata(network, provenance).items()
    }
    state = without_residual(network).state_dict()
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    write_atomically(path, _content(weights, metadata))


def _content(weights: Mapping[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Return a safetensors file with a digest: the same bytes for the same model."""
    # With metadata, safetensors writes its entries in a random order.
    tensors, data = _split(safetensors.torch.save(dict(weights)))
    metadata = metadata | {_DIGEST: _digest(tensors, metadata, data)}
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file, and the numbers after it."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def _digest(tensors: Mapping[str, Any], metadata: Mapping[str, str], data: bytes) -> str:
    digest = hashlib.sha256(json.dumps([tensors, metadata], sort_keys=True).encode())
    digest.update(data)
    return digest.hexdigest()


def _check_digest(path: Path) -> None:
    """Raise ModelFileError if a file has a digest that is not that of its content."""
    tensors, data = _split(path.read_bytes())
    metadata = tensors.pop("__metadata__", {})
    stored = metadata.pop(_DIGEST, None)
    if stored is not None and stored != _digest(tensors, metadata, data):
        raise ModelFileError(f"{path}: damaged: its content is not that of its digest")


def load_model(path: Path) -> Model:
    """Load a model from a file or a folder.

    Args:
        path: a ``.safetensors``, ``.ckpt``, ``.pb`` or ``.onnx`` file, or a folder as written by
            :func:`falsr_nas.models.pretrained.save_pretrained`.

    Raises:
        UserError: the file is missing, damaged or of another kind, or its weights do not fit its
            genome.
    """
    check_model_path(path)
    if path.is_dir():
        return _load_folder(path)
    loaders = {
        ".safetensors": _load_safetensors,
        ".ckpt": _load_checkpoint,
        ".pb": _load_foreign,
        ".onnx": _load_foreign,
    }
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise ModelFileError(
                f"{path}: {size} bytes is more than any model of this family; the limit is"
                f" {LARGEST_FILE}"
            )
        network, provenance = loaders[path.suffix](path)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    # channels_last is a tenth faster on CPUs.
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(network, path.stem, provenance, path)


def find_model(name: str) -> Model:
    """Return the model that a command's ``model`` setting names.

    Args:
        name: path of a model file or of a model's folder; or the name of a model that comes with
            the package; or ``bicubic``, ``bicubic_x3`` or ``bicubic_x4``, which have no weights.
            Names may be in any case, and come first: a folder of such a name is given as
            ``./NAME``.

    Raises:
        UserError: as :func:`load_model`.
    """
    path = model_path(name)
    if path is None:
        name = name.lower()
        return Model(Bicubic(BICUBIC[name]), name, {})
    return load_model(path)


def model_metadata(network: SuperResolver, provenance: Mapping[str, str]) -> dict[str, Any]:
    """Return what a model file stores beside the weights, as JSON values.

    These are the genome and its training target, except for bicubic interpolation; the plug-ins of
    its operators by name, with their SHA-256, if there are any; the scale, the provenance, and the
    version of this package.

    Raises:
        ModelFileError: the network is neither that of a genome nor bicubic interpolation.
    """
    plain = without_residual(network)
    plugins = from_plugins(plain.genome.cells) if isinstance(plain, Network) else {}
    return {
        **_architecture(network),
        **({"plugins": plugins} if plugins else {}),
        "scale": network.scale,
        "provenance": dict(provenance),
        "falsr_nas": __version__,
    }


def _architecture(network: SuperResolver) -> dict[str, Any]:
    target = "residual" if isinstance(network, BilinearResidual) else "image"
    network = without_residual(network)
    if isinstance(network, Network):
        return {"genome": network.genome.to_json(), "target": target}
    if isinstance(network, Bicubic):
        return {}
    if isinstance(network, RuntimeNetwork):
        raise ModelFileError(
            "an ONNX file has no weights that could be saved in another format: it can be used as"
            " the model of evaluate and upscale"
        )
    raise ModelFileError(f"{type(network).__name__} has no weights that could be saved")


def _load_folder(folder: Path) -> Model:
    model = load_model(folder / WEIGHTS)
    described = {"scale": model.network.scale, **_architecture(model.network)}
    _check_config(folder / CONFIG, described)
    return replace(model, name=folder.resolve().name, path=folder)


def _check_config(path: Path, architecture: Mapping[str, Any]) -> None:
    """Raise ModelFileError if a config exists and describes another network than the weights'."""
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
    for name, value in architecture.items():
        if config.get(name) != value:
            raise ModelFileError(f"{path}: its {name} differs from that of {WEIGHTS} beside it")


def _load_safetensors(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            weights = {name: file.get_tensor(name).clone() for name in names}
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{path}: not a safetensors file, or cut short ({error})") from None
    _check_digest(path)
    scale = metadata.get("scale")
    if scale not in [str(known) for known in SCALES]:
        raise ModelFileError(
            f"{path}: not a model of this project: its metadata has no scale of 2, 3 or 4"
        )
    genome, target = _json(metadata.get("genome", "")), metadata.get("target", "image")
    needed = _json(metadata.get("plugins", "{}"))
    network = _genome_network(path, genome, target, weights, needed)
    if scale != str(network.scale):
        raise ModelFileError(
            f"{path}: its metadata has scale {scale}, but its network is for x{network.scale}"
        )
    provenance = _json(metadata.get("provenance", ""))
    texts = provenance.items() if isinstance(provenance, dict) else ()
    return network, {str(name): str(text) for name, text in texts}


def _load_checkpoint(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    content = read_checkpoint(path)
    settings, state = content.get("hyper_parameters"), content.get("state_dict")
    if not isinstance(settings, Mapping) or not isinstance(state, Mapping):
        raise ModelFileError(
            f"{path}: not a Lightning checkpoint: it has no hyper_parameters or no state_dict"
        )
    weights = _network_weights({str(name): value for name, value in state.items()})
    if not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise ModelFileError(f"{path}: its state_dict holds something else than tensors")
    genome, target = settings.get("genome"), settings.get("target", "image")
    network = _genome_network(path, genome, target, weights, settings.get("plugins"))
    return network, {"source": path.name}


def _network_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a checkpoint's network, the averaged ones where there are any."""
    for prefix in _CHECKPOINT_PREFIXES:
        if names := [name for name in state if name.startswith(prefix)]:
            return {name.removeprefix(prefix): state[name] for name in names}
    return {}


def _load_foreign(path: Path) -> tuple[SuperResolver, dict[str, str]]:
    from falsr_nas.models.tf_import import load_graph  # imports protobuf

    network = load_graph(path) if path.suffix == ".pb" else load_onnx(path)
    return network, {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _genome_network(
    path: Path, genome: object, target: object, weights: Mapping[str, Tensor], plugins: object
) -> SuperResolver:
    needed = _named_plugins(plugins)
    try:
        parsed = Genome.from_json(genome)
    except GenomeError as error:
        if absent := missing(needed):
            raise ModelFileError(
                f"{path}: needs the plug-in {absent[0]} (SHA-256 {needed[absent[0]][:12]}...):"
                f" give plugins=[{absent[0]}.py]"
            ) from None
        raise ModelFileError(f"{path}: {error}") from None
    warn_of_changes(needed, str(path))
    # Strides of zero let a small file hold tensors of any shape: compare with the file's size.
    if genome_cost(parsed).params > path.stat().st_size:
        raise ModelFileError(f"{path}: its genome has more weights than the file can hold")
    with torch.device("meta"):  # allocates nothing before the weights are known to fit the genome
        network = Network(parsed)
    _load_weights(path, network, weights)
    if any(buffer.is_meta for buffer in network.buffers()):  # constants that are not stored
        filled = Network(parsed)
        filled.load_state_dict(network.state_dict())
        network = filled
    if target not in ("image", "residual"):
        raise ModelFileError(f"{path}: its target is {target!r}, expected image or residual")
    return BilinearResidual(network) if target == "residual" else network


def _named_plugins(content: object) -> dict[str, str]:
    """Return the plug-ins that a file names; it is not trusted, and nothing is loaded by it."""
    if not isinstance(content, Mapping):
        return {}
    return {
        name: sha256
        for name, sha256 in content.items()
        if isinstance(name, str)
        and re.fullmatch(r"\w[\w-]{0,63}", name)
        and isinstance(sha256, str)
        and re.fullmatch(r"[0-9a-f]{64}", sha256)
    }


def _load_weights(path: Path, network: SuperResolver, weights: Mapping[str, Tensor]) -> None:
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if different := sorted(shapes.keys() ^ weights.keys()):
        problem = "missing" if different[0] in shapes else "unexpected"
        raise ModelFileError(
            f"{path}: not the weights of its network: {problem} tensor {different[0]!r}"
        )
    for name, tensor in weights.items():
        if tensor.shape != shapes[name]:
            raise ModelFileError(
                f"{path}: {name!r} has shape {list(tensor.shape)}, its network needs"
                f" {list(shapes[name])}"
            )
        if (
            not tensor.is_floating_point()
            or tensor.layout != torch.strided
            or not tensor.float().isfinite().all()
        ):
            raise ModelFileError(f"{path}: {name!r} holds something else than finite numbers")
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)


def _json(text: str) -> Any:
    """Return the parsed text, or None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
