"""Look up genomes by published name, text, JSON or file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED

MOST_CHARACTERS = 1_000_000


def published_name(genome: Genome) -> str | None:
    """Return the name under which a network was published, or None."""
    return next((name for name, network in PUBLISHED.items() if network.key == genome.key), None)


def find_genome(name: str, others: Iterable[str] = ()) -> Genome:
    """Return the genome given as a published name, the path of a file, a text form or JSON text.

    Args:
        name: a published name may be in any case.
        others: further names that the caller knows, for the error.

    Raises:
        GenomeError: it is none of these, or the file cannot be read or holds no valid genome.
    """
    if name.upper() in PUBLISHED:
        return PUBLISHED[name.upper()]
    if "{" in name or ("/" not in name and "_f" in re.split(r"[|.]", name, maxsplit=1)[0]):
        return Genome.parse(name)
    path = Path(name).expanduser()
    try:
        with path.open(encoding="utf-8") as file:
            return Genome.parse(file.read(MOST_CHARACTERS))
    except GenomeError as error:
        raise GenomeError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise GenomeError(f"{path}: not a text file") from None
    except OSError:
        known = ", ".join([*PUBLISHED, *others])
        raise GenomeError(
            f"{name!r} is neither a known network ({known}), a readable file, nor a genome"
        ) from None
