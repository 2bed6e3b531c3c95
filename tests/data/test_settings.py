from __future__ import annotations

import subprocess
import sys

import pytest

from falsr_nas.core.errors import UserError
from falsr_nas.data.settings import DataSettings, Div2kSettings, FolderSettings, PhotographsSettings


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: PhotographsSettings(on_error="ignore"), "data.on_error"),
        (lambda: PhotographsSettings(val_crop=33), "data.val_crop"),
        (lambda: PhotographsSettings(val_crop=-2), "data.val_crop"),
        (lambda: PhotographsSettings(val_crop=30), "data.val_crop"),
        (lambda: FolderSettings(val_dir="b"), "data.train_dirs"),
        (lambda: FolderSettings(train_dirs=("",), val_dir="b"), "data.train_dirs"),
        (lambda: FolderSettings(train_dirs=("a",)), "data.val_dir"),
        (lambda: FolderSettings(train_dirs=("a",), val_dir="b", on_error="?"), "data.on_error"),
        (lambda: Div2kSettings(root=""), "data.root"),
    ],
)
def test_errors_name_the_setting_in_one_line(build, key) -> None:
    with pytest.raises(UserError, match=f"^{key} is [^\n]*$"):
        build()


def test_folders_may_be_a_list_or_a_string() -> None:
    assert FolderSettings(train_dirs=["a", "b"], val_dir="c").train_dirs == ("a", "b")  # type: ignore[arg-type]
    assert FolderSettings(train_dirs="a", val_dir="c").train_dirs == ("a",)  # type: ignore[arg-type]


def test_whole_images_are_allowed() -> None:
    assert DataSettings(val_crop=0).val_crop == 0


def test_settings_load_no_torch() -> None:
    program = (
        "import sys, falsr_nas.data.settings\n"
        "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
