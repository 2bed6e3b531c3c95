"""Search for small, fast super-resolution networks, after FALSR (Chu et al., 2019)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from falsr_nas.pretrained import from_pretrained, save_pretrained

__version__ = "0.1.0"

__all__ = ["__version__", "from_pretrained", "save_pretrained"]


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for: a command's ``--help`` does not wait for it."""
    if name in ("from_pretrained", "save_pretrained"):
        from falsr_nas import pretrained

        return getattr(pretrained, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
