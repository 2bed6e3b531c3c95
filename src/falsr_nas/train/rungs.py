"""Rungs of full trainings: the worse of many networks are not trained to the end."""

from __future__ import annotations

from falsr_nas.core.errors import UserError
from falsr_nas.space.genome import Genome
from falsr_nas.train.network import NetworkTrainer


def best_at_rungs(
    trainer: NetworkTrainer, networks: list[tuple[str, Genome]]
) -> list[tuple[str, Genome]]:
    """Train networks from rung to rung, and return those to train to the end, in their order.

    They are compared by validation PSNR.

    Args:
        trainer: trains them.
        networks: names and genomes.

    Raises:
        UserError: a network was trained further before, and not validated at the rung.
    """
    rungs = trainer.config.rungs
    for epochs, count in zip(rungs.epochs, rungs.counts(len(networks)), strict=True):
        psnr = {}
        for place, (name, genome) in enumerate(networks, start=1):
            trainer.show(f"to epoch {epochs}, {place} of {len(networks)}: {name}")
            psnr[name] = _psnr_at(trainer, name, genome, epochs)
        best = sorted(psnr, key=lambda name: -psnr[name])[:count]
        for name, value in psnr.items():
            then = "is trained on" if name in best else "is not trained on"
            trainer.report(f"{trainer.folder(name)}: {value:.3f} dB at epoch {epochs}, {then}")
        networks = [(name, genome) for name, genome in networks if name in best]
    return networks


def _psnr_at(trainer: NetworkTrainer, name: str, genome: Genome, epochs: int) -> float:
    from falsr_nas.training.full_training import psnr_at

    curve = trainer.train_to(name, genome, epochs)
    psnr = psnr_at(curve, epochs * trainer.config.training.steps_per_epoch)
    if psnr is None:
        raise UserError(
            f"{trainer.folder(name)} was trained without a rung at epoch {epochs} and not validated"
            " there: give the rungs that it was trained with, or another output"
        )
    return psnr
