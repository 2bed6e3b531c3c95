"""Saved networks are loaded unchanged; damaged and hostile files are refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falsr_nas.core.errors import UserError
from falsr_nas.models.model_file import Model, ModelFileError, load_model, save_model
from falsr_nas.networks.bicubic import Bicubic
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from falsr_nas.space.search_space import SearchSpace

GENOME = Genome.parse("stem_f8 conv_f8_k1_b2_isskip groupConG2_f8_k3_b1_noskip | 0->2 0->3")


def assert_same(one: SuperResolver, other: SuperResolver) -> None:
    x = torch.rand(1, one.planes, 8, 9)
    with torch.inference_mode():
        torch.testing.assert_close(one.eval()(x), other.eval()(x))  # other strides, other kernels
    for name, tensor in other.state_dict().items():
        assert torch.equal(one.state_dict()[name], tensor)


def checkpoint(path: Path, network: Network, **changes: Any) -> Path:
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.6.6",
        "hyper_parameters": {"genome": network.genome.to_json(), "target": "image"},
        "state_dict": {f"network.{name}": tensor for name, tensor in network.state_dict().items()},
    }
    torch.save(content | changes, path)
    return path


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_no_flipped_bit_changes_a_model(suffix: str, tmp_path: Path) -> None:
    network, path = Network(GENOME), tmp_path / f"model.{suffix}"
    if suffix == "ckpt":
        checkpoint(path, network)
    else:
        save_model(path, network, {"seed": "1"})
        again = tmp_path / "again.safetensors"
        save_model(again, network, {"seed": "1"})
        assert again.read_bytes() == path.read_bytes()
    content, refused = path.read_bytes(), 0
    rng = np.random.default_rng(1)
    for place in rng.integers(len(content), size=200):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            model = load_model(path)
        except UserError:
            refused += 1
            continue
        loaded = model.network.state_dict()
        assert all(
            torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items()
        )
    assert refused > 60  # others are in padding, dates and the like


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    network, path = Network(GENOME).double(), tmp_path / "model.safetensors"
    with torch.no_grad():
        next(network.parameters()).fill_(1e300)
    save_model(path, network, {})
    with pytest.raises(ModelFileError, match="something else than finite numbers"):
        load_model(path)


@pytest.mark.parametrize("seed", range(4))
def test_networks_are_loaded_as_saved(seed: int, tmp_path: Path) -> None:
    network = Network(SearchSpace(n=3, channels=(8, 16)).sample(np.random.default_rng(seed))).to(
        memory_format=torch.channels_last
    )
    path = tmp_path / "found.safetensors"
    save_model(path, network, {"source": "a search", "seed": "1"})
    model = load_model(path)
    assert model.name == "found"
    assert model.provenance == {"source": "a search", "seed": "1"}
    assert isinstance(model.network, Network)
    assert model.network.genome == network.genome
    assert not model.network.training
    assert_same(model.network, network)


def test_residual_networks_are_loaded_as_saved(tmp_path: Path) -> None:
    network = BilinearResidual(Network(GENOME))
    save_model(tmp_path / "m.safetensors", network, {})
    model = load_model(tmp_path / "m.safetensors")
    assert isinstance(model.network, BilinearResidual)
    assert_same(model.network, network)


def test_bicubic_interpolation_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no weights that could be saved"):
        save_model(tmp_path / "m.safetensors", Bicubic(), {})


def test_checkpoints_load(tmp_path: Path) -> None:
    network = Network(GENOME)
    assert_same(load_model(checkpoint(tmp_path / "m.ckpt", network)).network, network)
    residual = checkpoint(
        tmp_path / "r.ckpt",
        network,
        hyper_parameters={"genome": GENOME.to_json(), "target": "residual"},
    )
    assert_same(load_model(residual).network, BilinearResidual(network))


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    network = Network(GENOME).half()
    save_model(tmp_path / "m.safetensors", network, {})
    assert {
        parameter.dtype for parameter in load_model(tmp_path / "m.safetensors").network.parameters()
    } == {torch.float32}


def test_published_graphs_become_model_files(data_root: Path, tmp_path: Path) -> None:
    model = load_model(data_root / "models" / "FALSR-B.pb")
    assert model.provenance["source"] == "FALSR-B.pb"
    save_model(tmp_path / "b.safetensors", model.network, model.provenance)
    again = load_model(tmp_path / "b.safetensors")
    assert isinstance(again.network, Network)
    assert again.network.genome == PUBLISHED["FALSR-B"]
    assert again.provenance == model.provenance
    assert_same(model.network, again.network)


class Bomb:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    path = checkpoint(tmp_path / "bomb.ckpt", Network(GENOME), callbacks=Bomb(witness))
    with pytest.raises(UserError, match="could run code"):
        load_model(path)
    plain = tmp_path / "plain.ckpt"
    plain.write_bytes(pickle.dumps(Bomb(witness), protocol=2))
    with pytest.raises(UserError):
        load_model(plain)
    assert not witness.exists()


def saved(path: Path, *, metadata: dict[str, str] | None = None, **tensors: torch.Tensor) -> Path:
    weights = Network(GENOME).state_dict() | tensors
    about = {"scale": "2", "genome": json.dumps(GENOME.to_json())} | (metadata or {})
    path.write_bytes(safetensors.torch.save(weights, about))
    return path


@pytest.mark.parametrize(
    ("tensors", "metadata", "match"),
    [
        ({"extra": torch.zeros(1)}, {}, "unexpected tensor 'extra'"),
        ({"stem.bias": torch.zeros(9)}, {}, r"'stem.bias' has shape \[9\]"),
        ({"stem.bias": torch.zeros(8, dtype=torch.int64)}, {}, "finite"),
        ({"stem.bias": torch.full((8,), torch.inf)}, {}, "finite"),
        ({}, {"scale": "3"}, "has scale 3, but its network is for x2"),
        ({}, {"scale": "5"}, "no scale of 2, 3 or 4"),
        ({}, {"genome": "{"}, "a genome in JSON"),
        ({}, {"genome": "[" * 100_000}, "a genome in JSON"),
        (
            {},
            {"genome": '{"cells": ["conv_f8_k1_b1_noskip"]}'},
            "unexpected tensor|missing tensor|has shape",
        ),
        ({}, {"target": "sharpness"}, "target"),
    ],
)
def test_metadata_that_does_not_fit_the_weights(
    tensors: dict[str, Any], metadata: dict[str, str], match: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "m.safetensors", metadata=metadata, **tensors)
    with pytest.raises(ModelFileError, match=match) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"hyper_parameters": {}},
        {"hyper_parameters": None},
        {"state_dict": {}},
        {"state_dict": {"network.stem.weight": 3}},
        {"hyper_parameters": {"genome": GENOME.to_json(), "target": 5}},
    ],
)
def test_checkpoints_of_other_programs(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError):
        load_model(checkpoint(tmp_path / "m.ckpt", Network(GENOME), **changes))


def test_a_genome_alone_allocates_nothing(tmp_path: Path) -> None:
    huge = {
        "cells": ["conv_f1024_k15_b32_noskip"] * 64
    }  # 1.9 TB of weights, which the file does not have
    path = saved(tmp_path / "m.safetensors", metadata={"genome": json.dumps(huge)})
    with pytest.raises(ModelFileError, match="more weights than the file can hold"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pb", ".pth", ""])
def test_missing_files_and_unknown_suffixes(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(tmp_path / f"none{suffix}")
    assert "\n" not in str(caught.value)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(UserError):
        load_model(tmp_path / f"folder{suffix}")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_damage_raises_nothing_else(suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    if suffix == ".ckpt":
        checkpoint(path, Network(GENOME))
    else:
        saved(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for place in data.draw(
            st.lists(st.integers(0, min(len(content), 2000) - 1), min_size=1, max_size=5)
        ):
            content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        assert isinstance(load_model(path), Model)
    except UserError as error:
        assert "\n" not in str(error)


def test_saving(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="saved as"):
        save_model(tmp_path / "m.ckpt", Network(GENOME), {})
    with pytest.raises(UserError, match="cannot make the folder"):
        save_model(Path(__file__) / "m.safetensors", Network(GENOME), {})
    with pytest.raises(ModelFileError, match="SuperResolver has no weights"):
        save_model(tmp_path / "m.safetensors", SuperResolver(), {})
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_claim_to_be_larger_than_what_they_store(tmp_path: Path) -> None:
    """Strides of zero expand one number to a whole tensor: 5 kB for 2.8 GB of weights."""
    genome = Genome.parse(
        "stem_f1024 conv_f1024_k15_b1_noskip conv_f1024_k15_b1_noskip conv_f1024_k15_b1_noskip"
    )
    with torch.device("meta"):
        network = Network(genome)
    thin = {
        f"network.{name}": torch.zeros(()).expand(tensor.shape)
        for name, tensor in network.state_dict().items()
    }
    with pytest.raises(ModelFileError, match="more weights than the file can hold"):
        load_model(checkpoint(tmp_path / "m.ckpt", network, state_dict=thin))


def rezipped(
    source: Path, target: Path, compression: int, rename: Callable[[str], str] = str
) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(rename(entry.filename), old.read(entry))
    return target


def test_compressed_checkpoints_are_refused(tmp_path: Path) -> None:
    plain = checkpoint(tmp_path / "m.ckpt", Network(GENOME))
    with pytest.raises(UserError, match="its entries are compressed"):
        load_model(rezipped(plain, tmp_path / "packed.ckpt", zipfile.ZIP_DEFLATED))
    old = (
        tmp_path / "old.ckpt"
    )  # PyTorch's older forms, a bare pickle and a tar, are no archive of plain entries
    torch.save({"state_dict": {}}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="not a checkpoint"):
        load_model(old)


def test_names_of_entries_cannot_write_outside_the_archive(tmp_path: Path) -> None:
    """Entries are read by name and never extracted, so a path in a name has no effect."""
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    plain = checkpoint(inside / "m.ckpt", Network(GENOME))
    climbing = rezipped(
        plain,
        inside / "c.ckpt",
        zipfile.ZIP_STORED,
        lambda name: f"../../{name}" if "data/0" in name else name,
    )
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        load_model(climbing)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for ending in (".safetensors", ".ckpt"):
        path = tmp_path / f"m{ending}"
        with path.open("wb") as file:
            file.truncate(2**30 + 1)  # takes no room
        with pytest.raises(ModelFileError, match="more than any model"):
            load_model(path)
