"""Plug-ins: Python files or installed modules that register operators, evaluators and controllers.

Nothing is loaded unless the user names it. A plug-in in a file is this one file: its source is sent
to worker processes and other machines, which have no such file. An installed plug-in, named by an
entry point of the group ``falsr_nas.plugins``, must be installed there as well.
"""

from __future__ import annotations

import hashlib
import linecache
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import write_atomically

ENTRY_POINTS = "falsr_nas.plugins"
"""Group of the entry points of installed plug-ins."""

SETTING = "plugins"
"""Name of the setting that names plug-ins, and the first part of the names of their hashes."""

MODULE = "falsr_nas_plugin_{}"
"""Name of the module that a file becomes."""

EXPLAINED = "plug-in "
"""What the text about a mistake in a plug-in begins with."""

LARGEST_FILE = 2**20
"""Most bytes of a plug-in in a file."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plugin:
    """A plug-in that is loaded.

    Attributes:
        name: the file's name without ``.py``, or that of the entry point.
        sha256: of the file's source, or of all Python files of the installed module.
        origin: the path of the file, or the name of the installed module.
        source: the file's text; None for an installed module.
    """

    name: str
    sha256: str
    origin: str
    source: str | None = None

    @property
    def module(self) -> ModuleType:
        """The module that it became, once it is loaded."""
        return sys.modules[_module_of(self)]


@dataclass
class _Loaded:
    """A plug-in with what it registered, and how to take that back."""

    plugin: Plugin
    names: list[tuple[str, str]] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)


_loaded: dict[str, _Loaded] = {}
_loading: list[_Loaded] = []


def load_plugins(names: str | Path | Iterable[str | Path]) -> tuple[Plugin, ...]:
    """Load plug-ins that are not loaded yet; a file that has changed is loaded again.

    Args:
        names: paths of Python files, which end in ``.py``, or names of installed plug-ins; or one.

    Raises:
        UserError: there is no such file or entry point, two files have the same name, or a plug-in
            fails to load; the message names the file and the line.
    """
    if isinstance(names, str | Path):
        names = [str(names)]
    found = tuple(_find(str(name)) for name in names)
    by_name = {plugin.name: plugin for plugin in found}
    for plugin in found:
        if by_name[plugin.name] != plugin:
            raise UserError(
                f"plugins: {plugin.origin} and {by_name[plugin.name].origin} are both called"
                f" {plugin.name}: give one another name"
            )
    for plugin in found:
        _load(plugin)
    return found


def load_sent(plugins: Iterable[Plugin]) -> None:
    """Load plug-ins that another process has loaded.

    Raises:
        UserError: one of them is installed there, but not here, or here in another version.
    """
    for plugin in plugins:
        if plugin.source is None and _find(plugin.name).sha256 != plugin.sha256:
            raise UserError(
                f"the plug-in {plugin.name} is installed here in another version than on the"
                " machine of the search: install the same one everywhere"
            )
        _load(plugin)


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plug-ins of this process, in the order in which they were loaded."""
    return tuple(loaded.plugin for loaded in _loaded.values())


def owner(group: str, name: str) -> Plugin | None:
    """Return the plug-in that registered a name in a group, or None."""
    for loaded in _loaded.values():
        if (group, name) in loaded.names:
            return loaded.plugin
    return None


def registered(group: str, name: str, undo: Callable[[], object]) -> None:
    """Note that a name, none of ours, was registered: by the plug-in that is being loaded, if any.

    Args:
        group: what was registered, e.g. ``operator``.
        name: its name.
        undo: takes it back; called if the plug-in fails, or is loaded again.
    """
    if _loading:
        _loading[-1].names.append((group, name))
        _loading[-1].undo.append(undo)


def unload(name: str) -> None:
    """Take back all that a plug-in in a file registered."""
    loaded = _loaded.pop(name)
    _take_back(loaded)
    sys.modules.pop(MODULE.format(name), None)


def keep_sources(folder: Path, plugins: Iterable[Plugin]) -> None:
    """Write copies of plug-ins in files into ``folder/plugins``, for later use by the user.

    Raises:
        UserError: a file cannot be written.
    """
    for plugin in plugins:
        if plugin.source is not None:
            path = folder / SETTING / f"{plugin.name}.py"
            write_atomically(path, plugin.source.encode())


def warn_of_changes(needed: Mapping[str, str], where: str) -> None:
    """Log a warning for each loaded plug-in that is not the one that something was made with.

    Args:
        needed: SHA-256 of plug-ins by name.
        where: what was made with them.
    """
    for name, sha256 in needed.items():
        loaded = _loaded.get(name)
        if loaded is not None and loaded.plugin.sha256 != sha256:
            _log.warning(
                "%s was made with another version of the plug-in %s (%s, here %s)",
                where,
                name,
                sha256[:12],
                loaded.plugin.sha256[:12],
            )


def explained(error: BaseException) -> str:
    """Explain an exception that came out of a plug-in, in one line with file and line.

    Returns:
        The text, which begins with :data:`EXPLAINED`; empty where no loaded plug-in has to do with
        the exception.
    """
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for loaded in _loaded.values():
            if _belongs(frame.f_globals.get("__name__", ""), loaded.plugin):
                return f"{EXPLAINED}{_place(loaded.plugin, error)}: {_reason(error)}"
    return ""


def plugin_settings(plugins: Mapping[str, str]) -> dict[str, str]:
    """Return the settings by which plug-ins identify a search or a training, by dotted names.

    Args:
        plugins: SHA-256 by name.
    """
    return {f"{SETTING}.{name}": sha256 for name, sha256 in sorted(plugins.items())}


def plugins_of_settings(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the SHA-256 of plug-ins by name from settings by dotted names."""
    start = f"{SETTING}."
    return {
        name.removeprefix(start): str(value)
        for name, value in settings.items()
        if name.startswith(start)
    }


def name_of(given: str) -> str:
    """Return the name of the plug-in that a setting names by its path or by its name."""
    return Path(given).stem if _is_path(given) else given


def missing(needed: Iterable[str]) -> list[str]:
    """Return those of the plug-ins, by name, that are not loaded."""
    return [name for name in needed if name not in _loaded]


def _find(name: str) -> Plugin:
    if _is_path(name):
        return _read(Path(name).expanduser())
    return _installed(name)


def _is_path(given: str) -> bool:
    return given.endswith(".py") or "/" in given or "\\" in given


def _read(path: Path) -> Plugin:
    if not path.stem.isidentifier() or path.suffix != ".py":
        raise UserError(
            f"plugins: {path} is not named like a Python module: give a file such as my_cells.py"
        )
    try:
        content = path.read_bytes()
        source = content.decode()
    except OSError as error:
        raise UserError(f"plugins: {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"plugins: {path}: not a text file in UTF-8") from None
    if len(content) > LARGEST_FILE:
        raise UserError(f"plugins: {path}: larger than {LARGEST_FILE} bytes: not a Python module")
    return Plugin(path.stem, hashlib.sha256(content).hexdigest(), str(path), source)


def _installed(name: str) -> Plugin:
    from importlib.metadata import entry_points

    found = entry_points(group=ENTRY_POINTS)
    points = [point for point in found if point.name == name]
    if not points:
        others = ", ".join(sorted(found.names)) or "none"
        raise UserError(
            f"plugins: no installed package has a plug-in {name!r} (there are: {others});"
            " a file ends in .py"
        )
    module = points[0].module
    return Plugin(name, _hash_of_module(name, module), module)


def _hash_of_module(name: str, module: str) -> str:
    """Return the SHA-256 of the Python files of an installed module or package."""
    from importlib.util import find_spec

    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    except Exception as error:  # the package that the module is in, which is imported, has a bug
        raise UserError(f"{EXPLAINED}{name}: {module}: {_reason(error)}") from error
    if spec is None or spec.origin is None:
        raise UserError(f"plugins: {name} is installed, but its module {module} is not: reinstall")
    origin = Path(spec.origin)
    files = [origin]
    if spec.submodule_search_locations is not None:
        files = sorted(origin.parent.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(origin.parent).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _load(plugin: Plugin) -> None:
    before = _loaded.get(plugin.name)
    if before is not None:
        if before.plugin.sha256 == plugin.sha256:
            return
        if plugin.source is None:
            raise UserError(f"the plug-in {plugin.name} was replaced: restart Python")
        unload(plugin.name)
    loaded = _Loaded(plugin)
    _loading.append(loaded)
    try:
        if plugin.source is None:
            too_late = plugin.origin in sys.modules
            __import__(plugin.origin)
            if too_late and not loaded.names:
                raise ImportError("it was imported before: load plug-ins first, by load_plugins")
        else:
            _execute(plugin, plugin.source)
    except (Exception, SystemExit) as error:
        _take_back(loaded)
        sys.modules.pop(_module_of(plugin), None)
        raise UserError(f"{EXPLAINED}{_place(plugin, error)}: {_reason(error)}") from error
    finally:
        _loading.pop()
    _loaded[plugin.name] = loaded


def _module_of(plugin: Plugin) -> str:
    return plugin.origin if plugin.source is None else MODULE.format(plugin.name)


def _execute(plugin: Plugin, source: str) -> None:
    """Run the source as a module that pickles, tracebacks and type hints find by its name."""
    module = ModuleType(_module_of(plugin))
    module.__file__ = plugin.origin
    sys.modules[module.__name__] = module
    lines = source.splitlines(keepends=True)
    linecache.cache[plugin.origin] = (len(source), None, lines, plugin.origin)
    exec(compile(source, plugin.origin, "exec", dont_inherit=True), module.__dict__)


def _take_back(loaded: _Loaded) -> None:
    for undo in reversed(loaded.undo):
        with suppress(KeyError):
            undo()


def _place(plugin: Plugin, error: BaseException) -> str:
    """Return the file and the line of an error in a plug-in; else its file or module alone."""
    if isinstance(error, SyntaxError) and error.filename == plugin.origin:
        return f"{plugin.origin}:{error.lineno}"
    lines = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _belongs(frame.f_globals.get("__name__", ""), plugin)
    ]
    return lines[-1] if lines else plugin.origin


def _belongs(module: str, plugin: Plugin) -> bool:
    """Whether a module is that of a plug-in, or in its package."""
    name = _module_of(plugin)
    return module == name or module.startswith(f"{name}.")


def _reason(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
