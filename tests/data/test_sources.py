from __future__ import annotations

from pathlib import Path

import pytest

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.data.errors import DataError
from falsr_nas.data.images import read_image
from falsr_nas.data.pairs import load_pairs
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings
from falsr_nas.data.sources import ImageFile, find_images, list_images
from falsr_nas.models.model_file import find_model

STANDARD = ScoringProtocol.standard


def names(files) -> list[str]:
    return [file.hr.name for file in files]


def test_photographs_of_scikit_image_are_split_without_overlap() -> None:
    split = find_images(PhotographsSettings())
    assert all(file.hr.is_file() and file.lr is None for file in split.train + split.val)
    assert len(split.train) >= 5 and len(split.val) >= 3
    assert not set(names(split.train)) & set(names(split.val))
    sides = {name in names(split.train) for name in ("motorcycle_left.png", "motorcycle_right.png")}
    assert len(sides) == 1  # both show one scene


def test_photographs_are_in_colour() -> None:
    split = find_images(PhotographsSettings())
    for file in split.train + split.val:
        red, green, blue = read_image(file.hr).float()
        assert (red - green).abs().mean() > 1 or (green - blue).abs().mean() > 1, file.hr


def test_folders_are_read_in_their_order(tmp_path: Path, save_noise) -> None:
    for name in ("two/a.png", "one/c.png", "one/b.png", "val/a.png"):
        save_noise(tmp_path / name)
    split = find_images(
        FolderSettings(
            train_dirs=(str(tmp_path / "two"), str(tmp_path / "one")), val_dir=str(tmp_path / "val")
        )
    )
    assert names(split.train) == ["a.png", "b.png", "c.png"]
    assert names(split.val) == ["a.png"]


def test_an_image_in_training_and_validation_is_refused(tmp_path: Path, save_noise) -> None:
    save_noise(tmp_path / "train/a.png")
    (tmp_path / "val").mkdir()
    (tmp_path / "val/other_name.png").symlink_to(tmp_path / "train/a.png")
    with pytest.raises(
        DataError, match=r"train/a\.png is both in data\.train_dirs and in data\.val_dir"
    ):
        find_images(
            FolderSettings(train_dirs=(str(tmp_path / "train"),), val_dir=str(tmp_path / "val"))
        )


def test_div2k_uses_the_official_lr_images_if_present(tmp_path: Path, save_noise) -> None:
    for name in ("DIV2K_train_HR/0002.png", "DIV2K_train_HR/0001.png", "DIV2K_valid_HR/0801.png"):
        save_noise(tmp_path / name)
    (tmp_path / "DIV2K_train_LR_bicubic/X2").mkdir(parents=True)
    split = find_images(Div2kSettings(root=str(tmp_path)))
    assert names(split.train) == ["0001.png", "0002.png"]
    assert [file.lr for file in split.train] == [
        tmp_path / f"DIV2K_train_LR_bicubic/X2/000{i}x2.png" for i in (1, 2)
    ]
    assert [file.lr for file in split.val] == [None]


def test_error_about_missing_div2k_lists_the_folders(tmp_path: Path) -> None:
    (tmp_path / "DIV2K_train_HR").mkdir()
    with pytest.raises(
        DataError,
        match=rf"no DIV2K_valid_HR in {tmp_path}: it must contain DIV2K_train_HR .*0801\.png",
    ):
        find_images(Div2kSettings(root=str(tmp_path)))


def test_settings_without_a_source_are_refused() -> None:
    with pytest.raises(DataError, match="DataSettings is no data source"):
        find_images(DataSettings())


def test_links_to_nowhere_are_among_the_images(tmp_path: Path, save_noise) -> None:
    save_noise(tmp_path / "b.png")
    (tmp_path / "a.png").symlink_to("/nowhere/a.png")
    (tmp_path / "c.png").symlink_to("c.png")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png", "c.png"]
    for name, target in (("a.png", "/nowhere/a.png"), ("c.png", "c.png")):
        with pytest.raises(DataError, match=f"link to {target}, which does not exist"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="c.png cannot be read"):
        load_pairs([ImageFile(tmp_path / "b.png"), ImageFile(tmp_path / "c.png")], 8)
    kept = load_pairs(list(map(ImageFile, list_images(tmp_path))), 8, on_error="skip")
    assert [pair.path.name for pair in kept] == ["b.png"]
    (tmp_path / "val").mkdir()
    (tmp_path / "val/v.png").symlink_to("v.png")
    find_images(FolderSettings(train_dirs=(str(tmp_path),), val_dir=str(tmp_path / "val")))


def test_a_set_with_a_link_to_nowhere_is_refused(tmp_path: Path, save_noise) -> None:
    save_noise(tmp_path / "b.png")
    (tmp_path / "a.png").symlink_to("/nowhere/a.png")
    with pytest.raises(DataError, match="link to /nowhere/a.png"):
        score_model(find_model("bicubic"), {"A": benchmark_files(tmp_path)}, STANDARD)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O")])
def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise error

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=f"cannot read the folder {tmp_path}: {error.strerror}"):
        list_images(tmp_path)
