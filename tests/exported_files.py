"""Reading of exported models from their files, as users do."""

from pathlib import Path

from falsr_nas.models.export import FORMATS
from falsr_nas.models.portable import Runner


def read_exported(path: Path) -> Runner:
    """Load the file of an exported model, of any format, in the format's runtime."""
    read = FORMATS[path.suffix].read
    if path.suffix != ".param":
        return read(path.read_bytes())
    return read({suffix: path.with_suffix(suffix).read_bytes() for suffix in (".param", ".bin")})
