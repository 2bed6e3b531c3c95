"""Tab completion: what a shell can put in place of the word that is being typed."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from falsr_nas.cli.arguments import EXPERIMENT
from falsr_nas.cli.config import Schemas, experiments

COMPLETION = "--completion"
"""Option of ``falsr-nas`` that prints the script for a shell."""

_BASH = r"""
_falsr_nas() {
    local line="${COMP_LINE:0:COMP_POINT}" word rest found
    local -a typed
    read -a typed <<< "$line"  # without -r, so that "my\ photo" is one word
    [[ $line == *[^\\][[:space:]] ]] && typed+=("")
    word="${typed[-1]}"
    # Readline replaces only what follows the last = or : of a word.
    rest="${word##*[=:]}"
    COMPREPLY=()
    while IFS= read -r found; do
        [[ -n $found ]] || continue
        found="$(printf %q "${found#"${word%"$rest"}"}")"
        [[ $found == '\~/'* ]] && found="${found:1}"
        COMPREPLY+=("$found")
    done < <(falsr-nas --complete "${typed[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
}
complete -F _falsr_nas falsr-nas
"""

_ZSH = r"""
#compdef falsr-nas
_falsr_nas() {
    local -a found open closed
    found=("${(@f)$(falsr-nas --complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@q)found:#}")
    found=("${(@)found/#\\\~\//~/}")
    open=(${(M)found:#*[=/]})
    closed=(${found:#*[=/]})
    compadd -Q -S '' -- $open
    compadd -Q -- $closed
}
compdef _falsr_nas falsr-nas
"""

_FISH = r"""
function _falsr_nas
    falsr-nas --complete (commandline -opc)[2..] (commandline -ct | string unescape)
end
complete -c falsr-nas -f -a '(_falsr_nas)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

SHELLS = tuple(_SCRIPTS)
"""The shells for which there is a script."""


def script(shell: str) -> str:
    """Return the script that a shell loads; it runs ``falsr-nas --complete`` at each tab."""
    return _SCRIPTS[shell].strip()


def completions(typed: Sequence[str], command: str, schemas: Schemas) -> list[str]:
    """Return what the last word can become.

    Args:
        typed: the words after the command; the last one is being typed, and may be empty.
        command: its name.
        schemas: its settings.
    """
    *before, word = typed
    name, equals, start = word.partition("=")
    if equals:
        key = name.lstrip("+-").replace("-", "_")
        return [f"{name}={value}" for value in _values(key, start, command, schemas)]
    if before and _waits_for_a_value(before[-1], schemas):
        key = schemas.output if before[-1] == "-o" else before[-1][2:].replace("-", "_")
        return list(_values(key, word, command, schemas))
    return sorted({*_names(word, command, schemas), *_words(word, command, schemas)})


def _waits_for_a_value(word: str, schemas: Schemas) -> bool:
    setting = schemas.settings().get(word[2:].replace("-", "_"))
    is_flag = setting is not None and setting.is_flag
    return word == "-o" or (word.startswith("--") and "=" not in word and not is_flag)


def _values(key: str, start: str, command: str, schemas: Schemas) -> Iterable[str]:
    """Return the values of a setting or a group that begin with what is typed; or files."""
    groups, setting = schemas.choices(), schemas.settings().get(key)
    if key == EXPERIMENT:
        values: Iterable[str] = (one.name for one in experiments(command))
    elif key in groups:
        values = (one.name for one in groups[key])
    else:
        values = setting.choices if setting is not None else ()
    found = [value for value in values if value.startswith(start)]
    return found or (_files(start) if setting is None or setting.is_text else ())


def _names(start: str, command: str, schemas: Schemas) -> Iterator[str]:
    """Yield the names of settings, groups and experiments that begin with what is typed."""
    names = [*schemas.settings(), *schemas.choices()]
    dashed = start.startswith("-")
    if dashed:
        names = [f"--{name.replace('_', '-')}" for name in names] + ["--help"]
    elif start:  # all of them would hide the files
        names = [f"{name}=" for name in names]
        names += [f"+{EXPERIMENT}={one.name}" for one in experiments(command)]
    else:
        names = []
    yield from (name for name in names if name.startswith(start))


def _words(start: str, command: str, schemas: Schemas) -> Iterable[str]:
    """Return what a word without a name can be."""
    if start.startswith("-"):
        return ()
    if schemas.words[:1] == (f"+{EXPERIMENT}",):
        return (one.name for one in experiments(command) if one.name.startswith(start))
    return _files(start)


def _files(start: str) -> Iterator[str]:
    home = str(Path.home()) if start.startswith("~/") else ""
    whole = f"{home}{start[1:]}" if home else start
    for name in sorted(glob.glob(f"{glob.escape(whole)}*")):  # noqa: PTH207  # keeps ./
        shown = f"~{name.removeprefix(home)}" if home else name
        yield f"{shown}/" if Path(name).is_dir() else shown
