"""``falsr-nas COMMAND ...`` or ``python -m falsr_nas COMMAND ...``: all commands by one name."""

from __future__ import annotations

import sys
from importlib import import_module

from falsr_nas import __version__
from falsr_nas.cli.arguments import HELP, one_of
from falsr_nas.cli.command import fail
from falsr_nas.cli.console import closed_output_ends_quietly

COMMANDS = {
    "search": ("falsr_nas.search.__main__", "search for small, fast networks"),
    "train": ("falsr_nas.train.__main__", "train the best networks of a search, or any network"),
    "report": ("falsr_nas.report.__main__", "show one or several searches as a page"),
    "evaluate": ("falsr_nas.evaluate", "compute PSNR and SSIM of a model on benchmark sets"),
    "describe": ("falsr_nas.describe", "print the cells and the cost of a network, or a drawing"),
    "convert": ("falsr_nas.convert", "convert a model of another program to .safetensors"),
    "upscale": ("falsr_nas.upscale", "enlarge photographs, or the frames of a video"),
    "export": ("falsr_nas.export", "export a model to ONNX, ncnn, torch.export or TorchScript"),
    "profile": ("falsr_nas.profile", "measure how long layers take on this device"),
}
"""The module of each command, and what it does."""

_OPTIONS = {"--help": "show this list", "--version": "show the version"}


def main() -> None:
    """Run the command that the first word names, with the words after it."""
    command, *rest = sys.argv[1:] or ["--help"]
    with closed_output_ends_quietly():
        if command in COMMANDS:
            _run(command, rest)
        elif command in HELP:
            print(_help())
        elif command == "--version":
            print(f"falsr-nas {__version__}")
        else:
            fail(f"there is no command {command!r}: {one_of(command, COMMANDS)}")


def _run(command: str, words: list[str]) -> None:
    sys.argv[1:] = words
    import_module(COMMANDS[command][0]).main()


def _help() -> str:
    lines = ["Usage: falsr-nas COMMAND [WORD]... [--NAME VALUE]...", "", "Commands:"]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "falsr-nas COMMAND --help shows the settings of a command.", "", "Options:"]
    return "\n".join(lines + [f"  {option:<13} {summary}" for option, summary in _OPTIONS.items()])


if __name__ == "__main__":
    main()
