"""Put a trained network into the package, with a card: scores, milliseconds, recipe and terms.

    python experiments/family/ship.py outputs/family/x2-photo-balanced/best \
        falsr-x2-photo-balanced --data DIR

DIR holds benchmark/Set5, Set14 and B100, and val/Kodak24. The milliseconds are those of onnxruntime
on two threads for 1280x720 output; nothing else should run.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.data.images import ImageFile
from falsr_nas.models import shipped
from falsr_nas.models.model import Model
from falsr_nas.models.model_file import find_model
from falsr_nas.models.pretrained import from_pretrained, save_pretrained
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.profiling.device import Device, reference_network
from falsr_nas.profiling.timing import load_network, time_against
from falsr_nas.space.genome import Genome
from falsr_nas.train.model_card import model_card
from falsr_nas.training.full_training import stored_curve

SETS = ("Set5", "Set14", "B100")
FILES = ("bicubic", "jpeg90", "jpeg70", "jpeg50")
"""How the LR images of Kodak24 are written: bicubic is no file, but the clean image."""

REST = """## Speed

{milliseconds:.0f} ms for 1280x720 output: onnxruntime, float32, two threads, {processor} ({date}).

## Photographs

PSNR in dB of Kodak24's luma, whole images, of LR images that are clean or JPEG files of a quality:

| | {files} |
|---|{lines}|
{rows}

## Where it comes from

A chain of 3x3 convolutions with one long skip, as SESR (Bhardwaj et al., MLSys 2022) has when it is
collapsed. The search of `experiments/x2_fast` found such chains on its front up to 50 ms, and
networks that were 0.05 to 0.1 dB better after its short training from 60 to 200 ms.
`experiments/family` has the commands.

## Use

    python -m falsr_nas.upscale model={name} input=photograph.jpg
    python -m falsr_nas.evaluate model={name} data_root=benchmark 'sets=[Set5]'
    python -m falsr_nas.export model={name} output={name}.onnx

## License

Apache-2.0, as the package. It computes luma; chroma is interpolated. It was trained on T91 and
BSDS500 (published for research), and 487 photographs of CID22 (CC BY-SA 4.0), CLIC2025, Unsplash,
Tecnick (CC BY-NC-SA 3.0), Wikipedia (Creative Commons), GB82 (CC0), General-100 (research) and
luma crops of DIV2K (academic research only).
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path, help="folder of the trained network")
    parser.add_argument("name", help="of the model in the package")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()

    model = from_pretrained(options.trained)
    assert isinstance(model.network, BilinearResidual)
    assert isinstance(model.network.network, Network)
    genome = model.network.network.genome
    recipe = json.loads((options.trained / "recipe.json").read_text())
    paths = [key for key in recipe if key.startswith("data.") and "dir" in key]
    recipe |= {key: _names(recipe[key]) for key in paths}
    sets = {name: benchmark_files(options.data / "benchmark" / name) for name in SETS}
    score = score_model(model, sets, ScoringProtocol.standard)
    curve = stored_curve(options.trained / "last.ckpt")
    device = Device.here("onnxruntime", 1280, 720, 2)
    rest = REST.format(
        name=options.name,
        milliseconds=_milliseconds(genome, device),
        processor=device.cpu,
        date=datetime.datetime.now(tz=datetime.UTC).date(),
        files=" | ".join("clean" if name == "bicubic" else name for name in FILES),
        lines="|".join(["---"] * len(FILES)),
        rows="\n".join(_rows(model, benchmark_files(options.data / "val" / "Kodak24"))),
    )
    card = model_card(options.name, genome, recipe, curve, score)
    folder = Path(shipped.__file__).parent / options.name
    provenance = {**model.provenance, "recipe": "README.md"}
    shipped_model = replace(model, name=options.name, provenance=provenance)
    save_pretrained(shipped_model, folder, card[: card.index("## Use")] + rest)
    print(f"{folder}: {(folder / 'model.safetensors').stat().st_size} bytes")


def _milliseconds(genome: Genome, device: Device) -> float:
    """Return the time of a network, in turns with the reference network."""
    loaded = [
        load_network(one, device.backend, device.width, device.height)
        for one in (reference_network(genome.scale), genome)
    ]
    measured = time_against(*loaded, seconds=5.0)
    return measured.reference_ms * measured.ratio


def _rows(model: Model, files: list[ImageFile]) -> list[str]:
    """Return rows of a table: the model and bicubic interpolation by kind of file."""
    rows = []
    for name, one in (("this model", model), ("bicubic", find_model(_bicubic(model)))):
        by_kind: Mapping[str, list[ImageFile]] = {
            kind: [replace(file, degradation=kind) for file in files] for kind in FILES
        }
        scored = score_model(one, by_kind, ScoringProtocol.standard)
        rows.append(f"| {name} | " + " | ".join(f"{x.mean.psnr:.2f}" for x in scored.sets) + " |")
    return rows


def _bicubic(model: Model) -> str:
    scale = model.network.scale
    return "bicubic" if scale == 2 else f"bicubic_x{scale}"


def _names(paths: str | list[str]) -> str:
    """Return the last part of paths."""
    return ", ".join(Path(path).name for path in ([paths] if isinstance(paths, str) else paths))


if __name__ == "__main__":
    main()
