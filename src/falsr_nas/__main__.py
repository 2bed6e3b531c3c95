"""``falsr-nas COMMAND ...`` or ``python -m falsr_nas COMMAND ...``: all commands by one name."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

from falsr_nas.cli.command import COMPLETE, fail
from falsr_nas.cli.completion import COMPLETION, SHELLS, script
from falsr_nas.cli.console import closed_output_ends_quietly
from falsr_nas.core.version import __version__

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

_OPTIONS = {
    "--help": "show this list",
    "--version": "show the version",
    COMPLETION: f"print the tab completion for {', '.join(SHELLS)}",
}


def main() -> None:
    """Run the command that the first word names, with the words after it."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in COMMANDS:
        sys.argv[1:] = rest
        import_module(COMMANDS[command][0]).main()
        return
    with closed_output_ends_quietly():
        _answer(command, rest)


def _answer(word: str, rest: list[str]) -> None:
    """Answer what is asked without a command."""
    match word, rest:
        case (("-h" | "--help" | "help"), _):
            print("Usage: falsr-nas COMMAND [WORD]... [--NAME VALUE]...\n\nCommands:")
            for name, (_, summary) in COMMANDS.items():
                print(f"  {name:<10} {summary}")
            print("\nfalsr-nas COMMAND --help shows the settings of a command.\n\nOptions:")
            for option, summary in _OPTIONS.items():
                print(f"  {option:<13} {summary}")
        case "--version", _:
            print(f"falsr-nas {__version__}")
        case _, [shell] if word == COMPLETION and shell in SHELLS:
            print(script(shell))
        case _, _ if word == COMPLETION:
            fail(f"{COMPLETION} needs a shell: one of {', '.join(SHELLS)}")
        case _, [command, *words] if word == COMPLETE and command in COMMANDS and words:
            sys.argv[1:] = [COMPLETE, *words]
            import_module(COMMANDS[command][0]).main()
        case _, [first] if word == COMPLETE:
            print(*(name for name in (*COMMANDS, *_OPTIONS) if name.startswith(first)), sep="\n")
        case _ if word != COMPLETE:
            close = difflib.get_close_matches(word, COMMANDS, n=1)
            advice = (
                f"did you mean {close[0]}?" if close else f"choose one of {', '.join(COMMANDS)}"
            )
            fail(f"there is no command {word!r}: {advice}")


if __name__ == "__main__":
    main()
