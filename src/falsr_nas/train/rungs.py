"""Rungs of full trainings: the worse of many networks are not trained to the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from falsr_nas.core.errors import UserError
from falsr_nas.data.levels import mse_from_psnr
from falsr_nas.train.config import TrainConfig
from falsr_nas.train.network import Chosen, NetworkTrainer
from falsr_nas.train.workers import train_in_workers


def best_at_rungs(trainer: NetworkTrainer, networks: list[Chosen]) -> list[Chosen]:
    """Train networks from rung to rung, and return those to train to the end, in their order.

    With ``select=psnr`` they are compared by validation PSNR. Otherwise they are spread over the
    costs of the search, and compared as there: by rank and crowding distance.

    Args:
        trainer: trains them.
        networks: of a search, or one given network.

    Raises:
        UserError: a network was trained further before, and not validated at the rung.
    """
    config = trainer.config
    for epochs, count in zip(config.rungs.epochs, config.rungs.counts(len(networks)), strict=True):
        train_in_workers(trainer, networks, epochs, trainer.show)
        psnr = {}
        for place, chosen in enumerate(networks, start=1):
            trainer.show(f"to epoch {epochs}, {place} of {len(networks)}: {chosen.name(config)}")
            psnr[chosen] = _psnr_at(trainer, chosen, epochs)
        best = _best(config, psnr, count)
        for chosen, value in psnr.items():
            then = "is trained on" if chosen in best else "is not trained on"
            trainer.report(f"{trainer.folder(chosen)}: {value:.3f} dB at epoch {epochs}, {then}")
        networks = [chosen for chosen in networks if chosen in best]
    return networks


def _best(config: TrainConfig, psnr: dict[Chosen, float], count: int) -> list[Chosen]:
    if config.select == "psnr" or config.run_dir is None:
        return sorted(psnr, key=lambda chosen: -psnr[chosen])[:count]
    from falsr_nas.archive.folders import STORE, search_in
    from falsr_nas.archive.store import Store
    from falsr_nas.objectives.problem import stored_problem

    with Store(search_in(Path(config.run_dir)) / STORE) as store:
        problem = stored_problem(store)
    scored = {}
    for chosen, value in psnr.items():
        assert chosen.evaluation is not None, "it was chosen from a search"
        score = chosen.evaluation.score
        assert score is not None, "failed candidates are not chosen"
        outcome = replace(score, psnr=value, mse=mse_from_psnr(value))
        scored[chosen.genome.key] = replace(chosen.evaluation, outcome=outcome)
    kept = {one.key for one in problem.ranked([*scored.values()])[:count]}
    return [chosen for chosen in psnr if chosen.genome.key in kept]


def _psnr_at(trainer: NetworkTrainer, chosen: Chosen, epochs: int) -> float:
    from falsr_nas.training.full_training import psnr_at

    curve = trainer.train_to(chosen, epochs)
    psnr = psnr_at(curve, epochs * trainer.config.training.steps_per_epoch)
    if psnr is None:
        raise UserError(
            f"{trainer.folder(chosen)} was trained without a rung at epoch {epochs} and not"
            " validated there: give the rungs that it was trained with, or another output"
        )
    return psnr
