"""Where checkpoints are written, and when they are on the disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import torch

from falsr_nas.training.trainer import SyncedCheckpoints, plain_trainer


def test_a_checkpoint_is_written_beside_its_target_and_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def no_temporary_file(*_: object, **__: object) -> None:
        raise OSError("the temporary folder is full")

    fsync = os.fsync
    monkeypatch.setattr(tempfile, "mkstemp", no_temporary_file)
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(number), fsync(number)))
    path = tmp_path / "last.ckpt"
    SyncedCheckpoints().save_checkpoint({"weights": torch.arange(1000.0)}, path)
    assert len(synced) == 2, "the file, then its folder"
    assert torch.equal(torch.load(path)["weights"], torch.arange(1000.0))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_trainings_use_it() -> None:
    trainer = plain_trainer(accelerator="cpu", devices=1)
    assert isinstance(trainer.strategy.checkpoint_io, SyncedCheckpoints)
