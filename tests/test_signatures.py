"""What a search looks for is passed as one value, a ``Problem``, and not in parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src/falsr_nas"

PARTS = {"objectives", "costs", "constraints", "min_psnr", "psnr_range"}
"""Names of parameters for parts of a problem. (The space alone is much used without the rest.)"""

MAKE_PROBLEMS = {
    "objectives/objective.py",
    "objectives/problem.py",
    "objectives/settings.py",
    "search/config.py",
}
"""Files that have the parts: the problem, and the registry and settings that it is made from."""


def signatures(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield the name of each function with its parameters, and of each class with its fields."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            parameters = (*given.posonlyargs, *given.args, *given.kwonlyargs)
            yield f"{path.name}: {node.name}()", {one.arg for one in parameters}
        elif isinstance(node, ast.ClassDef):
            fields = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
            yield f"{path.name}: {node.name}", {ast.unparse(one) for one in fields}


def test_no_function_or_value_has_the_parts_of_a_problem() -> None:
    torn = {
        name: sorted(parts)
        for path in sorted(SOURCE.rglob("*.py"))
        if str(path.relative_to(SOURCE)) not in MAKE_PROBLEMS
        for name, parameters in signatures(path)
        if len(parts := parameters & (PARTS | {"problem"})) > 1 or "objectives" in parameters
    }
    assert torn == {}, "give them the problem"


def test_the_parts_still_have_these_names() -> None:
    paths = [SOURCE / path for path in MAKE_PROBLEMS]
    assert set().union(*(names for path in paths for _, names in signatures(path))) >= PARTS
