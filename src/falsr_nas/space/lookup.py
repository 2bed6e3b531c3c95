"""Finding a genome by a published name, a text, JSON, or a file of either."""

from __future__ import annotations

from pathlib import Path

from falsr_nas.space.genome import Genome, GenomeError
from falsr_nas.space.published import PUBLISHED

MOST_CHARACTERS = 1_000_000


def find_genome(name: str) -> Genome:
    """The genome that a user means by a published name, a file's path, a text or a JSON text. Raises GenomeError."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    if "{" in name or "_f" in name.split("|", maxsplit=1)[0].split(".", maxsplit=1)[0]:
        return Genome.parse(name)
    path = Path(name)
    try:
        with path.open(encoding="utf-8") as file:
            return Genome.parse(file.read(MOST_CHARACTERS))
    except GenomeError as error:
        raise GenomeError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise GenomeError(f"{path}: not a text file") from None
    except OSError:
        known = ", ".join(PUBLISHED)
        raise GenomeError(
            f"{name!r} is neither a published network ({known}), a file that can be read, nor a genome"
        ) from None
