"""Put a trained network into the package, with a card that tells how it was found and trained.

    python experiments/x2_tiny/ship.py outputs/x2_tiny/nano/winner/best falsr-nano-x2 \
        --benchmark DIR --search '`+experiment=x2_nano`, 400 candidates, seed 1'

DIR holds Set5, Set14 and B100, on which the model is scored.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.models import shipped
from falsr_nas.models.pretrained import from_pretrained, save_pretrained
from falsr_nas.networks.network import BilinearResidual, Network
from falsr_nas.train.model_card import model_card
from falsr_nas.training.full_training import stored_curve

SETS = ("Set5", "Set14", "B100")

REST = """## Search

Found by {search}.
`experiments/x2_tiny` has the commands, and the scores of other networks of this cost.

## Use

    python -m falsr_nas.upscale model={name} input=photograph.jpg
    python -m falsr_nas.evaluate model={name} data_root=benchmark 'sets=[Set5]'
    python -m falsr_nas.export model={name} output={name}.onnx

## License

Apache-2.0, as the package. The training images, T91 and BSDS500, were published for research.
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path, help="folder of the trained network")
    parser.add_argument("name", help="of the model in the package")
    parser.add_argument("--benchmark", type=Path, required=True)
    parser.add_argument("--search", required=True, help="where the network comes from, in words")
    options = parser.parse_args()

    model = from_pretrained(options.trained)
    network = model.network
    assert isinstance(network, BilinearResidual) and isinstance(network.network, Network)
    recipe = json.loads((options.trained / "recipe.json").read_text())
    paths = [key for key in recipe if key.startswith("data.") and "dir" in key]
    recipe |= {key: _names(recipe[key]) for key in paths}
    sets = {name: benchmark_files(options.benchmark / name) for name in SETS}
    score = score_model(model, sets, ScoringProtocol.standard)
    curve = stored_curve(options.trained / "last.ckpt")
    card = model_card(options.name, network.network.genome, recipe, curve, score)
    card = card[: card.index("## Use")] + REST.format(name=options.name, search=options.search)
    folder = Path(shipped.__file__).parent / options.name
    provenance = {**model.provenance, "recipe": "README.md", "search": options.search}
    save_pretrained(replace(model, name=options.name, provenance=provenance), folder, card)
    print(f"{folder}: {(folder / 'model.safetensors').stat().st_size} bytes")


def _names(paths: str | list[str]) -> str:
    """Return the last part of paths."""
    return ", ".join(Path(path).name for path in ([paths] if isinstance(paths, str) else paths))


if __name__ == "__main__":
    main()
