"""The page of docs/players_and_browsers.md runs an exported model in a real browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from skimage import data

from browser import find_browser, open_page
from falsr_nas import from_pretrained
from falsr_nas.models.export import export_model
from falsr_nas.models.model_file import find_model

PAGE = Path(__file__).parents[1] / "docs" / "players_and_browsers.md"
PACKAGE = "onnxruntime-web@1.30.0"
NEEDED = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PATIENCE = 240  # seconds, for a download of 70 MB


class Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_request(self, *args: object) -> None:
        pass

    log_error = log_request


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of a folder with the runtime."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing")
    (tmp_path / "package.json").write_text("{}")
    words = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
    try:
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm cannot fetch {PACKAGE}: {error}")
    for name in NEEDED:
        shutil.copy(tmp_path / "node_modules/onnxruntime-web/dist" / name, tmp_path)
    server = ThreadingHTTPServer(("localhost", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_photograph_is_enlarged_in_the_browser(address: str, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH")
    photograph = Image.fromarray(data.astronaut()[20:120, 150:290])
    photograph.save(tmp_path / "photo.png")
    (page,) = re.findall(r"```html\n(.*?)```", PAGE.read_text(), re.DOTALL)
    # A PNG, because browsers decode JPEG in their own way.
    page = page.replace("photo.jpg", "photo.png").replace(
        "</script>", "window.done = true;</script>"
    )
    (tmp_path / "page.html").write_text(page)
    export_model(find_model("falsr-tiny-x2"), tmp_path / "falsr-tiny-x2.onnx")
    with open_page(browser, tmp_path / "profile") as tab:
        tab.open(f"{address}/page.html")
        drawn = tab.evaluate(
            "(async () => { for (let i = 0; i < 600 && !window.done; i++)"
            " await new Promise((go) => setTimeout(go, 100));"
            " return window.done && document.getElementById('larger').toDataURL('image/png'); })()"
        )
        assert drawn, tab.errors
    image = Image.open(io.BytesIO(base64.b64decode(drawn.partition(",")[2])))
    shown = np.asarray(image.convert("RGB"), int)
    wanted = np.asarray(from_pretrained("falsr-tiny-x2").upscale(photograph), int)
    assert shown.shape == wanted.shape == (200, 280, 3)
    assert np.abs(shown - wanted).max() <= 1
