"""Frames through a pipe: the same pixels as photographs, in flat memory, and with a real ffmpeg."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from falsr_nas import upscale
from falsr_nas.core.errors import UserError
from falsr_nas.inference.memory import MIB
from falsr_nas.models.model_file import load_model, save_model
from falsr_nas.networks.network import Network
from falsr_nas.photo.photograph import Photograph, upscale_photograph
from falsr_nas.space.genome import Genome
from falsr_nas.upscale import UpscaleConfig, upscale_frames

MEMORY = 2048 * MIB
COMMAND = [sys.executable, "-m", "falsr_nas.upscale", "input=-", "output=-", "threads=1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(path, Network(Genome.parse("stem_f4 conv_f4_k3_b1_noskip")), {})
    return path


def frames(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def config(model: Path, size: str | None = "14x10") -> UpscaleConfig:
    return UpscaleConfig(model=str(model), input="-", output="-", size=size)


class Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self.content.read(min(size, 97))


def test_each_frame_is_upscaled_as_a_photograph(model: Path) -> None:
    given = frames(3, 10, 14)
    network = load_model(model).network
    for source in (io.BytesIO(given.tobytes()), Dribble(given.tobytes())):
        target = io.BytesIO()
        assert upscale_frames(config(model), source, target) == 3
        output = np.frombuffer(target.getvalue(), np.uint8).reshape(3, 20, 28, 3)
        for frame, upscaled in zip(given, output, strict=True):
            wanted = upscale_photograph(network, Photograph(frame), MEMORY).pixels
            np.testing.assert_array_equal(upscaled, wanted)


def test_no_frames(model: Path) -> None:
    target = io.BytesIO()
    assert upscale_frames(config(model), io.BytesIO(), target) == 0
    assert target.getvalue() == b""


def test_a_frame_cut_short_is_named_and_those_before_are_written(model: Path) -> None:
    content, target = frames(2, 10, 14).tobytes()[:-5], io.BytesIO()
    with pytest.raises(UserError, match=r"within frame 2, after 415 of its 420 bytes.*14x10"):
        upscale_frames(config(model), io.BytesIO(content), target)
    assert len(target.getvalue()) == 20 * 28 * 3


def test_a_reader_that_ends_ends_the_command_quietly(model: Path) -> None:
    code = subprocess.run(
        [
            "bash",
            "-c",
            f"{' '.join(COMMAND)} model={model} size=480x270 < /dev/zero | head -c 9;"
            " exit ${PIPESTATUS[0]}",
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert code.returncode == 141
    assert code.stderr == b""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"input": "-", "output": "-"}, "size is missing"),
        ({"input": "-", "output": "-", "size": "480"}, "size is 480"),
        ({"input": "-", "output": "-", "size": "0x270"}, "size is 0x270"),
        ({"input": "-", "output": "out.png", "size": "4x2"}, "go together"),
        ({"input": "in.png", "output": "-"}, "go together"),
        ({"input": "in.png", "output": "out.png", "size": "4x2"}, "only frames need it"),
    ],
)
def test_settings(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        UpscaleConfig(model="bicubic", **settings)


def test_frames_are_no_files(model: Path) -> None:
    with pytest.raises(UserError, match="call upscale_frames"):
        upscale.upscale(config(model))


def resident(pid: int) -> int:
    """The memory of a process in KiB, without what files share."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line[:7] == "RssAnon")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_is_flat_over_200_frames(model: Path) -> None:
    """A real process; each frame is written when the one before it has come back."""
    frame, size = frames(1, 270, 480).tobytes(), 540 * 960 * 3
    process = subprocess.Popen(
        [*COMMAND, f"model={model}", "size=480x270"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    seen, first = [], b""
    for number in range(200):
        process.stdin.write(frame)
        process.stdin.flush()
        output = process.stdout.read(size)
        first = first or output
        assert output == first, f"frame {number}"
        seen.append(resident(process.pid))
    process.stdin.close()
    assert process.wait(60) == 0
    assert process.stdout.read() == b""
    assert process.stderr.read().decode().strip() == "200 frames upscaled"
    # In KiB. The allocator settles within some frames; keeping the 380 KiB of each frame that was
    # read would take 68,000, and its result four times as much.
    assert max(seen[20:]) - max(seen[:20]) < 16 * 1024


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_real_ffmpeg_on_both_sides(model: Path, tmp_path: Path) -> None:
    """The line of docs/video.md, on a short video that ffmpeg makes."""
    quiet = "ffmpeg -v error -nostdin"
    python = " ".join(COMMAND)
    line = (
        f"{quiet} -f lavfi -i testsrc=size=64x36:rate=10:duration=1 -f rawvideo -pix_fmt rgb24 -"
        f" | {python} model={model} size=64x36"
        f" | {quiet} -f rawvideo -pix_fmt rgb24 -s 128x72 -r 10 -i - -c:v ffv1 {tmp_path}/out.mkv"
    )
    line = line.replace("-nostdin -f rawvideo -pix_fmt rgb24 -s", "-f rawvideo -pix_fmt rgb24 -s")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "10 frames upscaled"
    decoded = subprocess.run(
        f"{quiet} -i {tmp_path}/out.mkv -f rawvideo -pix_fmt rgb24 -".split(),
        capture_output=True,
        check=True,
    ).stdout
    assert len(decoded) == 10 * 128 * 72 * 3


def test_frames_that_need_more_than_the_memory_are_refused_before_one_is_read(model: Path) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("nothing is read")

    with pytest.raises(UserError, match="40000x40000 pixels needs .* MiB.* memory_limit is 2048"):
        upscale_frames(config(model, "40000x40000"), Unread(), io.BytesIO())
