"""Runs commands in forks of a process that has imported them, which saves their start.

Reads a line of JSON with the command's words and its folder, and answers with a line of JSON: its
exit code, standard error, seconds, and the most memory in bytes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import onnx  # noqa: F401 - imported for the forks
import onnxruntime  # noqa: F401
import PIL.Image  # noqa: F401
import pytorch_lightning  # noqa: F401
import torch  # noqa: F401

from falsr_nas.__main__ import COMMANDS

SECONDS = 60


def answer(words: list[str], folder: str) -> dict[str, object]:
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _run(words, folder, errors.fileno())
        while True:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - began > SECONDS:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        errors.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "stderr": errors.read().decode(errors="replace"),
            "seconds": time.monotonic() - began,
            "memory": usage.ru_maxrss * 1024,
        }


def _run(words: list[str], folder: str, errors: int) -> None:
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(errors, 2)
    sys.argv[:] = ["falsr-nas", *words[1:]]
    code: object = 0
    try:
        import_module(COMMANDS[words[0]][0]).main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


for name, _ in COMMANDS.values():
    import_module(name)
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    Path(request["folder"]).mkdir(exist_ok=True)
    print(json.dumps(answer(request["words"], request["folder"])), flush=True)
