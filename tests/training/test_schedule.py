import math

import pytest
import torch

from falsr_nas.core.errors import UserError
from falsr_nas.training.schedule import average_shares, learning_rates
from falsr_nas.training.settings import Decay, TrainingSettings


def settings(**changes: object) -> TrainingSettings:
    return TrainingSettings(
        **(
            {
                "epochs": 10,
                "steps_per_epoch": 10,
                "learning_rate": 0.5,
                "warmup": 0,
                "decay": Decay.constant,
            }
            | changes
        )
    )


def test_the_papers_rate_is_constant() -> None:
    assert learning_rates(settings()).tolist() == [0.5] * 100


def test_a_warm_up_rises_along_a_line_and_reaches_the_rate() -> None:
    rates = learning_rates(settings(warmup=4))
    torch.testing.assert_close(rates[:5], torch.tensor([0.125, 0.25, 0.375, 0.5, 0.5]))


@pytest.mark.parametrize("decay", [Decay.linear, Decay.cosine])
def test_a_decay_begins_at_the_rate_and_ends_near_nothing(decay: Decay) -> None:
    rates = learning_rates(settings(warmup=20, decay=decay))
    assert rates[20] == 0.5
    assert 0 < rates[-1] < 0.02 * 0.5
    assert (rates[20:].diff() < 0).all()
    assert rates[60].item() == pytest.approx(0.25)  # half way down, half way through


def test_half_a_cosine_is_pytorchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    rates = learning_rates(settings(decay=Decay.cosine))
    for step in range(100):
        assert rates[step].item() == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-7)
        optimizer.step()
        reference.step()


def test_averages_forget_the_first_weights_then_reach_back_as_far_as_asked() -> None:
    shares = average_shares(settings(ema=0.95))
    assert shares[0].item() == pytest.approx(0.9)
    assert shares[-1].item() == pytest.approx(9 / 109)
    assert average_shares(settings(ema=0.5))[-1].item() == pytest.approx(0.5)
    assert math.prod((1 - shares).tolist()) < 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"warmup": -1}, "training.warmup is -1"), ({"ema": 1.0}, "training.ema is 1.0")],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(**changes)
