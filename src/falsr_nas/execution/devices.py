"""The GPUs of this machine, found without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess


def visible_gpus() -> list[str]:
    """Return the entries of CUDA_VISIBLE_DEVICES, or an index for each GPU if it is not set."""
    if (listed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [entry for entry in listed.split(",") if entry and entry != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    answer = subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False
    )
    count = sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    return [str(i) for i in range(count)]
