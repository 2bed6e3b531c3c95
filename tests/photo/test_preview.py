"""The page that compares images with their upscaled ones, in a real browser where there is one."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser import Page, find_browser, open_page
from falsr_nas import upscale as command
from falsr_nas.core.errors import UserError
from falsr_nas.inference.memory import MIB
from falsr_nas.photo import preview
from falsr_nas.photo.photograph import Photograph
from falsr_nas.photo.preview import comparison, write_preview
from falsr_nas.upscale import Outcome, UpscaleConfig, upscale

PLENTY = 2048 * MIB
BLACK, WHITE = 0, 255


def plain(path: Path, level: int, width: int = 60, height: int = 40) -> Path:
    Image.new("RGB", (width, height), (level,) * 3).save(path)
    return path


def level(value: int, height: int, width: int, dtype: type = np.uint8) -> Photograph:
    return Photograph(np.full((height, width, 3), value, dtype))


def embedded(page: str) -> list[np.ndarray]:
    """The images that a page holds, in its order."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    browser = find_browser()
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    folder = tmp_path_factory.mktemp("preview")
    figures = [
        comparison(plain(folder / "<b>one&amp;.png", BLACK), level(WHITE, 80, 120), PLENTY),
        comparison(plain(folder / "wide.png", BLACK, 900, 20), level(WHITE, 40, 1800), PLENTY),
    ]
    write_preview(folder / "page.html", figures, more=3)
    with open_page(browser, folder / "profile") as opened:
        opened.size(1280, 800)
        opened.open((folder / "page.html").as_uri())
        yield opened


def place(tab: Page, number: int = 0) -> float:
    """Where the line is, as a share of the image's width."""
    left, width, line = tab.evaluate(
        f"(() => {{ const stage = document.querySelectorAll('.stage')[{number}];"
        " const {left, width} = stage.getBoundingClientRect();"
        " return [left, width, stage.querySelector('.line').getBoundingClientRect().left + 1]; })()"
    )
    return float((line - left) / width)


def drag(tab: Page, kind: str, x: float, y: float) -> None:
    """Touch the page, move the finger, or lift it."""
    points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
    tab.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)


def brightness(tab: Page, path: Path) -> np.ndarray:
    """What is seen of the first image in the row a third below its top, away from the line."""
    tab.screenshot(path)
    left, top, width, height = tab.evaluate(
        "(() => { const {left, top, width, height} ="
        " document.querySelector('.stage').getBoundingClientRect();"
        " return [left, top, width, height].map(Math.round); })()"
    )
    pixels = np.asarray(Image.open(path).convert("L"))
    return pixels[top + height // 6, left : left + width].astype(int)


def test_the_page_asks_for_nothing_and_names_are_text(tab: Page) -> None:
    assert tab.errors == []
    assert [one for one in tab.requests if not one.startswith(("file:", "data:"))] == []
    assert tab.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    caption = tab.evaluate("document.querySelector('figcaption').textContent")
    assert caption == "<b>one&amp;.png 60x40 to 120x80 pixels"
    assert "does not show: 3." in tab.evaluate("document.body.textContent")


def test_the_line_is_moved_by_mouse_keyboard_and_touch(tab: Page, tmp_path: Path) -> None:
    assert place(tab) == pytest.approx(0.5, abs=0.01)
    seen = brightness(tab, tmp_path / "middle.png")
    assert (seen[3:50] < 20).all() and (seen[70:117] > 235).all(), "bicubic left, upscaled right"
    tab.click(".stage input")
    tab.press("ArrowRight")
    assert place(tab) == pytest.approx(0.51, abs=0.01)
    tab.press("Home")
    assert place(tab) == pytest.approx(0, abs=0.01)
    assert (brightness(tab, tmp_path / "home.png")[10:] > 235).all()
    x, y = tab.centre(".stage input")
    for kind, step in (("touchStart", 0), ("touchMove", 10), ("touchMove", 30), ("touchEnd", 30)):
        drag(tab, kind, x + step, y)
    tab.settle()
    assert place(tab) == pytest.approx(0.75, abs=0.03)
    assert place(tab, 1) == pytest.approx(0.5, abs=0.01), "each image has its own"
    seen = brightness(tab, tmp_path / "touched.png")
    assert (seen[3:80] < 20).all() and (seen[100:117] > 235).all()


def test_wide_images_fit_until_they_are_asked_for_at_their_size(tab: Page) -> None:
    width = "document.querySelectorAll('.stage')[1].getBoundingClientRect().width"
    for window in (1280, 390):
        tab.size(window, 800)
        assert tab.evaluate(width) <= window
        assert tab.evaluate("document.documentElement.scrollWidth") <= window
        tab.click("#size")
        assert tab.evaluate(width) == 1800
        assert tab.evaluate("document.documentElement.scrollWidth") <= window, "it alone scrolls"
        assert tab.evaluate("document.querySelector('#size').ariaPressed") == "true"
        tab.click("#size")
    assert tab.errors == []


def test_what_is_shown_is_bicubic_interpolation_and_the_result(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    image = coarse.resize((90, 60), Image.Resampling.BICUBIC)
    image.save(tmp_path / "photo.png")
    page, target = tmp_path / "page.html", tmp_path / "larger.png"
    paths = {"input": str(tmp_path / "photo.png"), "output": str(target)}
    upscale(UpscaleConfig(**paths, preview=str(page)))
    before, after = embedded(page.read_text())
    upscale(UpscaleConfig(model="bicubic", input=paths["input"], output=str(tmp_path / "b.png")))
    for shown, path in ((before, tmp_path / "b.png"), (after, target)):
        difference = shown.astype(int) - np.asarray(Image.open(path))
        assert np.abs(difference).mean() < 4, "WebP is not exact"


def test_large_images_show_their_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST_PIXELS", 60 * 40)
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[30:50, 45:75] = 255  # in the middle of the middle
    text = comparison(plain(tmp_path / "a.png", WHITE), Photograph(pixels), PLENTY)
    assert "60x40 to 120x80 pixels; the 60x40 in the middle" in text
    _, after = embedded(text)
    assert after.shape == (40, 60, 3)
    assert (after[12:28, 18:42] > 200).all() and (after[:8] < 50).all()


def test_extreme_shapes_fit_into_webp(tmp_path: Path) -> None:
    text = comparison(plain(tmp_path / "a.png", BLACK, 9000, 2), level(WHITE, 4, 18000), PLENTY)
    assert "the 16382x4 in the middle" in text
    assert [one.shape for one in embedded(text)] == [(4, 16382, 3)] * 2


def test_undecodable_names(tmp_path: Path) -> None:
    path = plain(tmp_path / "a\udcff.png", BLACK)
    write_preview(tmp_path / "page.html", [comparison(path, level(WHITE, 80, 120), PLENTY)])
    assert "a?.png" in (tmp_path / "page.html").read_text()


def test_a_page_that_is_not_possible_is_found_before_the_model_is_read(tmp_path: Path) -> None:
    image = plain(tmp_path / "a.png", BLACK)
    (tmp_path / "folder.html").mkdir()
    for page, says in (("folder.html", "a folder: give"), ("a.png/p.html", "a.png is a file")):
        with pytest.raises(UserError, match=says):
            upscale(UpscaleConfig(input=str(image), preview=str(tmp_path / page)))
    assert not (tmp_path / "a_x2.png").exists()


def test_an_image_without_comparison_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        plain(tmp_path / name, WHITE)

    def fails_for_a(source: Path, result: Photograph, *limits: int) -> str:
        if source.name == "a.png":
            raise UserError("a.png is gone")
        return comparison(source, result, *limits)

    monkeypatch.setattr(preview, "comparison", fails_for_a)
    page, failures = tmp_path / "page.html", []
    settings = {"input": str(tmp_path), "output": str(tmp_path / "larger"), "model": "bicubic"}
    found = upscale(UpscaleConfig(**settings, preview=str(page)), on_failure=failures.append)
    assert [one.outcome for one in found[:2]] == [Outcome.failed, Outcome.upscaled]
    assert failures == ["a.png is gone"]
    assert len(embedded(page.read_text())) == 2
    assert "does not show: 1." in page.read_text()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_channels_and_16_bits(channels: int, tmp_path: Path) -> None:
    plain(tmp_path / "a.png", BLACK)
    text = comparison(
        tmp_path / "a.png", Photograph(np.full((80, 120, channels), 0x8000, np.uint16)), PLENTY
    )
    _, after = embedded(text)
    assert after.shape[:2] == (80, 120)
    assert abs(int(after[..., 0].mean()) - 0x80) <= 2


def test_a_folder_whose_outputs_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST_IMAGES", 2)
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        plain(folder / name, WHITE)
    config = {"input": str(folder), "output": str(tmp_path / "larger")}
    upscale(UpscaleConfig(**config))
    page = tmp_path / "new" / "page.html"
    found = upscale(UpscaleConfig(**config, preview=str(page)))
    assert [one.outcome for one in found] == [Outcome.upscaled, Outcome.upscaled, Outcome.skipped]
    assert len(embedded(page.read_text())) == 4
    assert "does not show: 1." in page.read_text()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"preview": "page.png"}, "as in preview=page.html"),
        (
            {"preview": "p.html", "input": "-", "output": "-", "size": "8x8"},
            "frames have none",
        ),
    ],
)
def test_mistakes(settings: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        UpscaleConfig(**({"input": "photo.jpg"} | settings))


def test_the_command_names_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain(tmp_path / "a.png", WHITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["upscale", "input=a.png", "preview=my, page.html"])
    command.main()
    assert "preview: my, page.html" in capsys.readouterr().out
    assert (tmp_path / "my, page.html").stat().st_size > 1000
