"""Profiles of devices that are not at hand: a folder of networks to time there, and their times."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import make_folder, write_atomically
from falsr_nas.core.version import __version__
from falsr_nas.latency.profile import FEWEST, LatencyProfile, input_size
from falsr_nas.models.ncnn_files import to_ncnn
from falsr_nas.networks.network import Network
from falsr_nas.profiling import time_networks
from falsr_nas.profiling.device import Device, made_profile, reference_network
from falsr_nas.profiling.timing import onnx_content
from falsr_nas.space.genome import Genome

LIST = "networks.json"
"""File of the folder with the genomes, files and input shapes of the networks."""

_SETTINGS = ("backend", "threads", "width", "height")


def write_networks(folder: Path, networks: Sequence[Genome], device: Device) -> None:
    """Export networks with random weights into a folder, the reference network first.

    They are ONNX files, with the script that times them, or files of ncnn.

    Raises:
        UserError: the backend is another one, or a file cannot be written.
    """
    if device.backend not in ("onnxruntime", "ncnn"):
        raise UserError(f"backend is {device.backend!r}: a folder is for onnxruntime or ncnn")
    make_folder(folder)
    found = []
    for number, genome in enumerate((reference_network(networks[0].scale), *networks)):
        name, module = f"{number:03d}", Network(genome).eval()
        if device.backend == "ncnn":
            files = to_ncnn(module, torch.rand(1, 1, 13, 19), {})
        else:
            files = {".onnx": onnx_content(module, 1)}
        for suffix, data in files.items():
            write_atomically(folder / f"{name}{suffix}", data)
        sides = [input_size(side, genome.scale) for side in (device.height, device.width)]
        row = {"file": name + min(files, key=len), "input": [1, 1, *sides], "genome": str(genome)}
        found.append(row)
    content = {name: getattr(device, name) for name in _SETTINGS} | {"networks": found}
    write_atomically(folder / LIST, (json.dumps(content, indent=1) + "\n").encode())
    if device.backend == "onnxruntime":
        script = Path(time_networks.__file__)
        shutil.copy(script, folder / script.name)


def profile_of_times(path: Path, cpu: str) -> LatencyProfile:
    """Return the profile of a CSV of times in the folder of :func:`write_networks`.

    Args:
        path: with the columns ``file`` and ``ms``; networks that are missing are left out.
        cpu: name of the device.

    Raises:
        UserError: a file cannot be read, or there are too few times.
    """
    try:
        content: dict[str, Any] = json.loads((path.parent / LIST).read_text(encoding="utf-8"))
        with path.open(encoding="utf-8", newline="") as file:
            times = {row["file"]: float(row["ms"]) for row in csv.DictReader(file)}
        first, *others = content["networks"]
        known = [(Genome.parse(one["genome"]), times.get(one["file"], 0.0)) for one in others]
        reference, unit = Genome.parse(first["genome"]), times[first["file"]]
        settings = {name: content[name] for name in _SETTINGS}
    except OSError as error:
        raise UserError(f"times: cannot read {error.filename}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"times: {path} is no table of the columns file and ms for {path.parent / LIST}"
            f" ({type(error).__name__}: {error})"
        ) from None
    measured = [(genome, ms) for genome, ms in known if ms > 0]
    if len(measured) < FEWEST:
        raise UserError(f"times: {path} has {len(measured)} networks: give {FEWEST} or more")
    genomes, milliseconds = zip(*measured, strict=True)
    versions = {settings["backend"]: "not known", "falsr_nas": __version__}
    device = Device(**settings, cpu=cpu, versions=versions)
    return made_profile(genomes, milliseconds, device, reference, unit)
