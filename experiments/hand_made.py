"""Train FSRCNN or ESPCN by the recipe of the searched networks, and score it.

    python experiments/hand_made.py FSRCNN --data DIR --seed 1 --output fsrcnn_1.json

DIR has the folders of --train in train/, and benchmark/Set5, Set14, B100 and val/Kodak24. What
differs from ``training=final``: PyTorch's initialization, but for the last layer, which begins at
zero, too; and the learning rate. The weights are written beside the output; with those of
an earlier run, only the scores are computed.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from falsr_nas.benchmark.protocol import ScoringProtocol
from falsr_nas.benchmark.scoring import score_model
from falsr_nas.benchmark.sets import benchmark_files
from falsr_nas.data.datamodule import SuperResolutionData
from falsr_nas.data.settings import FolderSettings
from falsr_nas.models.model_file import Model
from falsr_nas.networks.footprint import Footprint
from falsr_nas.networks.network import BilinearResidual
from falsr_nas.networks.super_resolver import SuperResolver
from falsr_nas.space.ends import SCALE
from falsr_nas.training.engine import StepEngine, step_dtype
from falsr_nas.training.schedule import average_shares, learning_rates
from falsr_nas.training.settings import Decay, StepPrecision, TrainingSettings

SETS = ("benchmark/Set5", "benchmark/Set14", "benchmark/B100", "val/Kodak24")


class FSRCNN(SuperResolver):
    """FSRCNN(56, 12, 4) (Dong et al., ECCV 2016): all but the last layer at low resolution.

    The published 12K parameters are its 12,464 weights; biases and PReLU slopes are 345 more. The
    literature has 6.0 G mult-adds instead of 2.9 G: it counts all 9x9 taps of the transposed
    convolution for each output pixel, of which a quarter meets an input pixel at stride 2.
    """

    planes = 1
    scale = SCALE
    footprint = Footprint(margin=8, floats=130)

    def __init__(self) -> None:
        super().__init__()
        self.extract = nn.Sequential(nn.Conv2d(1, 56, 5, padding=2), nn.PReLU(56))
        self.shrink = nn.Sequential(nn.Conv2d(56, 12, 1), nn.PReLU(12))
        self.map = nn.Sequential(
            *(layer for _ in range(4) for layer in (nn.Conv2d(12, 12, 3, padding=1), nn.PReLU(12)))
        )
        self.expand = nn.Sequential(nn.Conv2d(12, 56, 1), nn.PReLU(56))
        self.upscale = nn.ConvTranspose2d(56, 1, 9, stride=SCALE, padding=4, output_padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W)."""
        return self.upscale(self.expand(self.map(self.shrink(self.extract(y)))))  # type: ignore[no-any-return]


class ESPCN(SuperResolver):
    """ESPCN (Shi et al., CVPR 2016): 5x5 to 64 channels, 3x3 to 32, 3x3 to the sub-pixels; tanh."""

    planes = 1
    scale = SCALE
    footprint = Footprint(margin=4, floats=160)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
        )
        self.upscale = nn.Conv2d(32, SCALE**2, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2H, 2W)."""
        return pixel_shuffle(self.upscale(self.body(y)), SCALE)


NETWORKS = {"FSRCNN": FSRCNN, "ESPCN": ESPCN}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--train", nargs="+", default=["T91", "BSDS200", "BSDS-test200"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=80, help="of 250 steps")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.output.exists():
        return
    settings = TrainingSettings(
        epochs=options.epochs,
        steps_per_epoch=250,
        batch_size=16,
        patch_size=24,
        learning_rate=options.rate,
        warmup=200,
        decay=Decay.cosine,
        ema=0.999,
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    weights = options.output.with_suffix(".pt")
    if not weights.exists():
        began = time.process_time()
        folders = [options.data / "train" / name for name in options.train]
        state = trained(options.network, settings, folders, options).state_dict()
        torch.save({"state": state, "seconds": time.process_time() - began}, weights)
    stored = torch.load(weights, weights_only=True)
    network = BilinearResidual(NETWORKS[options.network]())
    network.load_state_dict(stored["state"])
    model = Model(network.eval(), options.network, {})
    sets = {Path(name).name: benchmark_files(options.data / name) for name in SETS}
    score = score_model(model, sets, ScoringProtocol.standard)
    row = {
        "seed": options.seed,
        "params": score.params,
        "mult_adds": score.mult_adds,
        "steps": settings.steps,
        "processor_seconds": stored["seconds"],
        "psnr": {one.name: one.mean.psnr for one in score.sets},
    }
    options.output.write_text(json.dumps(row, indent=2) + "\n")
    print(row)


def trained(
    name: str, settings: TrainingSettings, folders: list[Path], options: argparse.Namespace
) -> BilinearResidual:
    """Return a network with the averaged weights of a training on the error of bilinear upscaling.

    The images of ``folders`` are trained on.
    """
    data = SuperResolutionData(
        FolderSettings(
            train_dirs=tuple(map(str, folders)), val_dir=str(options.data / "val" / "Kodak24")
        ),
        batch_size=settings.batch_size,
        patch_size=settings.patch_size,
        steps_per_epoch=settings.steps_per_epoch,
    )
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.manual_seed(options.seed)
    network = NETWORKS[name]()
    torch.nn.init.zeros_(network.upscale.weight)
    model = BilinearResidual(network).to(device=device, memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False)
    rates = learning_rates(settings).to(device)
    generator = torch.Generator(device).manual_seed(options.seed)
    engine = StepEngine(
        model,
        torch.optim.Adam(
            model.parameters(),
            lr=rates[0].clone(),
            betas=settings.betas,
            fused=True,
            capturable=on_gpu,
        ),
        rates,
        data.batches(generator),
        step_dtype(StepPrecision.auto, device),
        average=(list(average.parameters()), average_shares(settings).to(device)),
        generator=generator,
    )
    for epoch in range(settings.epochs):
        loss = engine.run(settings.steps_per_epoch)
        print(f"epoch {epoch + 1} of {settings.epochs}: L1 {float(loss):.5f}", flush=True)
    return average.to("cpu")


if __name__ == "__main__":
    main()
