"""Running commands as users do: in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


def run(
    module: str, *arguments: str, folder: Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a module in a folder; the options are those of ``subprocess.run``."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )
