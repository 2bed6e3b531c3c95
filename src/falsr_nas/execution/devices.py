"""The GPUs of this machine, found without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would list: its entries where it is set, else one index a GPU that the driver names."""
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [entry for entry in listed.split(",") if entry and entry != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    answer = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
    )
    return [
        str(i)
        for i, line in enumerate(
            line for line in answer.stdout.splitlines() if line.startswith("GPU ")
        )
    ]
