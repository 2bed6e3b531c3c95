"""What identifies the images of a search or a training: names and digests, wherever they are."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from falsr_nas.core.errors import UserError
from falsr_nas.core.files import write_atomically
from falsr_nas.core.processor import usable_cores
from falsr_nas.core.settings import path_settings
from falsr_nas.data.settings import DataSettings
from falsr_nas.data.sources import ImageFile, find_images

IMAGES = "images.json"
"""Name of the file, in the folder of a search or a training, that holds them."""


class KnownImage(NamedTuple):
    """An image file: its part, name, size in bytes, time of change in ns and SHA-256 (32 digits).

    The time is that of the inode, which cannot be set by hand. A file that cannot be read has no
    digest: who decodes it says what is wrong.
    """

    part: str
    name: str
    size: int = -1
    changed: int = 0
    sha256: str = ""


def known_images(settings: DataSettings, scale: int, folder: Path) -> list[KnownImage]:
    """Return the images of a data source in their order.

    Files of the size and the time of change that ``folder`` holds are not read again. Raises
    DataError as :func:`~falsr_nas.data.sources.find_images`.
    """
    digests = {image[:4]: image.sha256 for image in _stored(folder) or ()}

    def known(part: str, path: Path) -> KnownImage:
        try:
            status = path.stat()
            about = part, path.name, status.st_size, status.st_ctime_ns
            return KnownImage(*about, digests.get(about) or _digest(path))
        except OSError:
            return KnownImage(part, path.name)

    split = find_images(settings, scale)
    files = [("training", one) for one in split.train] + [("validation", one) for one in split.val]
    paths = [(part, path) for part, one in files for path in (one.hr, one.lr) if path is not None]
    with ThreadPoolExecutor(usable_cores()) as threads:
        return list(threads.map(known, *zip(*paths, strict=True)))


def compared(folder: Path, images: Sequence[KnownImage], data: DataSettings) -> Collection[str]:
    """Compare images with those of the search or training in a folder.

    Returns:
        Names of settings that do not matter because the images were compared: their paths. Empty
        where the folder holds no images, as those of earlier versions.

    Raises:
        UserError: images differ; one line names them.
    """
    if (stored := _stored(folder)) is None:
        return ()
    before, now = ([(*one[:2], one.sha256) for one in these] for these in (stored, images))
    if before == now:
        return {f"data.{name}" for name in path_settings(type(data))}
    lost, new = Counter(before) - Counter(now), Counter(now) - Counter(before)
    gone, come = {one[:2] for one in lost}, {one[:2] for one in new}
    says = {"has changed": gone & come, "is missing": gone - come, "is new": come - gone}
    texts = [f"{part} image {name} {what}" for what in says for part, name in sorted(says[what])]
    more = f", and {len(texts) - 3} more" if len(texts) > 3 else ""
    raise UserError(
        f"{folder} was begun with other images:"
        f" {', '.join(texts[:3]) or 'they come in another order'}{more}. Give the same images, or"
        " another folder"
    )


def digest_of(files: Iterable[ImageFile]) -> str:
    """Return a digest of the names and contents of the images of a benchmark set."""
    paths = [path for one in files for path in (one.hr, one.lr) if path is not None]
    rows = "".join(f"{path.name!a} {_digest(path)}\n" for path in paths)
    return hashlib.sha256(rows.encode()).hexdigest()[:32]


def keep(folder: Path, images: Sequence[KnownImage]) -> None:
    """Write the images of the search or training in a folder."""
    if images != _stored(folder):
        write_atomically(folder / IMAGES, json.dumps(images, indent=0).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def _stored(folder: Path) -> list[KnownImage] | None:
    try:
        content = json.loads((folder / IMAGES).read_bytes())
        return [KnownImage(str(a), str(b), int(c), int(d), str(e)) for a, b, c, d, e in content]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
