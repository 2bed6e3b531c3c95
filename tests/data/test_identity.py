"""Images identify a search or a training, wherever they are, and are read once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.data import identity
from falsr_nas.data.identity import IMAGES, compared, keep, known_images
from falsr_nas.data.settings import Div2kSettings, FolderSettings
from falsr_nas.evaluate import EvaluateConfig, evaluate


@pytest.fixture
def root(tmp_path: Path, save_noise) -> Path:
    for seed, name in enumerate(("one/a.png", "one/b.png", "two/a.png", "val/v.png")):
        save_noise(tmp_path / "images" / name, seed=seed)
    (tmp_path / "run").mkdir()
    return tmp_path / "images"


def settings(root: Path, *train: str) -> FolderSettings:
    dirs = tuple(str(root / name) for name in train or ("one", "two"))
    return FolderSettings(train_dirs=dirs, val_dir=str(root / "val"))


def begin(root: Path) -> Path:
    """The folder of a run that was begun with the images."""
    run = root.parent / "run"
    keep(run, known_images(settings(root), 2, run))
    return run


def says(root: Path, *train: str) -> str:
    """Why the run cannot continue with the images as they are now."""
    run, data = root.parent / "run", settings(root, *train)
    with pytest.raises(UserError, match="was begun with other images: ") as error:
        compared(run, known_images(data, 2, run), data)
    return str(error.value).partition("images: ")[2].partition(". Give")[0]


def test_where_images_are_does_not_matter(root: Path) -> None:
    run, moved = begin(root), root.parent / "moved"
    shutil.copytree(root, moved)
    for place in (root, moved, Path(os.path.relpath(root))):
        data = settings(place)
        ignored = compared(run, known_images(data, 2, run), data)
        assert set(ignored) == {"data.train_dirs", "data.val_dir"}


def test_what_changed_is_named(root: Path, save_noise) -> None:
    begin(root)
    save_noise(root / "val/v.png", seed=9)
    assert says(root) == "validation image v.png has changed"
    (root / "one/b.png").rename(root / "one/c.png")
    assert says(root) == (
        "validation image v.png has changed, training image b.png is missing,"
        " training image c.png is new"
    )
    save_noise(root / "one/d.png")
    assert says(root).endswith("training image c.png is new, and 1 more")


def test_order_and_number_of_equal_names_matter(root: Path) -> None:
    begin(root)
    assert says(root, "two", "one") == "they come in another order"
    assert says(root, "one") == "training image a.png is missing"


def test_a_change_is_seen_though_size_and_time_are_put_back(root: Path) -> None:
    begin(root)
    image = root / "one/a.png"
    before, content = image.stat(), image.read_bytes()
    image.write_bytes(content[:-20] + bytes(20))
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert image.stat().st_size == before.st_size
    assert says(root) == "training image a.png has changed"


def test_known_files_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, read = begin(root), list[str]()
    digest = identity._digest
    monkeypatch.setattr(identity, "_digest", lambda path: read.append(path.name) or digest(path))
    first = known_images(settings(root), 2, run)
    assert read == []
    (root / "two/a.png").touch()
    assert [one.sha256 for one in known_images(settings(root), 2, run)] == [
        one.sha256 for one in first
    ]
    assert read == ["a.png"]


def test_lr_images_count(tmp_path: Path, save_noise) -> None:
    low = "DIV2K_train_LR_bicubic/X2/0001x2.png"
    for name in ("DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png", low):
        save_noise(tmp_path / name)
    data = Div2kSettings(root=str(tmp_path))
    keep(tmp_path, known_images(data, 2, tmp_path))
    save_noise(tmp_path / low, seed=2)
    with pytest.raises(UserError, match=r"training image 0001x2\.png has changed"):
        compared(tmp_path, known_images(data, 2, tmp_path), data)


@pytest.mark.parametrize("content", ["", "[[1]]", "{}}", "5", "[" * 100_000])
def test_a_damaged_list_is_none(root: Path, content: str) -> None:
    run = begin(root)
    (run / IMAGES).write_text(content)
    assert compared(run, known_images(settings(root), 2, run), settings(root)) == ()


def test_a_link_to_nowhere_and_a_name_that_is_not_utf8_are_kept(root: Path) -> None:
    (root / "one/c.png").symlink_to("/nowhere/c.png")
    shutil.copy(root / "one/a.png", os.fsencode(root / "one") + b"/\xff.png")
    run = begin(root)
    rows = json.loads((run / IMAGES).read_text())
    assert ["training", "c.png", -1, 0, ""] in rows
    assert known_images(settings(root), 2, run) == [identity.KnownImage(*row) for row in rows]


def test_scores_are_of_a_set_wherever_it_is(root: Path) -> None:
    def digest(place: Path) -> str:
        target = root.parent / "scores.json"
        evaluate(
            EvaluateConfig("bicubic", str(place), sets=("one",), output=str(target), threads=1)
        )
        return str(json.loads(target.read_text())["sets"]["one"]["sha256"])

    before = digest(root)
    shutil.copytree(root, root.parent / "moved")
    assert digest(root.parent / "moved") == before
    (root / "one/a.png").rename(root / "one/c.png")
    assert digest(root) != before
