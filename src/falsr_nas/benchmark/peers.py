"""Costs and scores of published networks, to compare search results with.

Costs at 1280x720 output. At x2, PSNR and SSIM as quoted in FALSR's Table I (Chu et al., 2019).
MemNet is not in that table: its figures are those of CARN's Table 1 (Ahn et al., ECCV 2018). At x3
and x4, VDSR and CARN are quoted from CARN's Table 1, IMDN from SwinIR's Table 3 (Liang et al.,
ICCVW 2021). All networks are fully trained, each on its authors' own training images.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A published network.

    Attributes:
        name: name in the literature.
        params_k: parameters in thousands.
        mult_adds_g: mult-adds in billions at 1280x720 output.
        psnr: PSNR of the luma in dB by benchmark, where published.
        ssim: SSIM of the luma by benchmark, where published.
    """

    name: str
    params_k: float
    mult_adds_g: float
    psnr: dict[str, float]
    ssim: dict[str, float]


BENCHMARKS = ("Set5", "Set14", "B100", "Urban100")
"""The benchmarks of the task."""

_Row = tuple[str, float, float, tuple[float | None, ...], tuple[float | None, ...]]

_X2: tuple[_Row, ...] = (
    ("SRCNN", 57, 52.7, (36.66, 32.42, 31.36, 29.50), (0.9542, 0.9063, 0.8879, 0.8946)),
    ("FSRCNN", 12, 6.0, (37.00, 32.63, 31.53, 29.88), (0.9558, 0.9088, 0.8920, 0.9020)),
    ("VDSR", 665, 612.6, (37.53, 33.03, 31.90, 30.76), (0.9587, 0.9124, 0.8960, 0.9140)),
    ("LapSRN", 813, 29.9, (37.52, 33.08, 31.80, 30.41), (0.9590, 0.9130, 0.8950, 0.9100)),
    ("DRRN", 297, 6796.9, (37.74, 33.23, 32.05, 31.23), (0.9591, 0.9136, 0.8973, 0.9188)),
    ("MemNet", 677, 2662.4, (37.78, 33.28, 32.08, 31.31), (0.9597, 0.9142, 0.8978, 0.9195)),
    ("SelNet", 974, 225.7, (37.89, 33.61, 32.08, None), (0.9598, 0.9160, 0.8984, None)),
    ("CARN", 1592, 222.8, (37.76, 33.52, 32.09, 31.92), (0.9590, 0.9166, 0.8978, 0.9256)),
    ("CARN-M", 412, 91.2, (37.53, 33.26, 31.92, 31.23), (0.9583, 0.9141, 0.8960, 0.9194)),
    ("MoreMNAS-A", 1039, 238.6, (37.63, 33.23, 31.95, 31.24), (0.9584, 0.9138, 0.8961, 0.9187)),
    ("FALSR-A", 1021, 234.7, (37.82, 33.55, 32.12, 31.93), (0.9595, 0.9168, 0.8987, 0.9256)),
    ("FALSR-B", 326, 74.7, (37.61, 33.29, 31.97, 31.28), (0.9585, 0.9143, 0.8967, 0.9191)),
    ("FALSR-C", 408, 93.7, (37.66, 33.26, 31.96, 31.24), (0.9586, 0.9140, 0.8965, 0.9187)),
)

_X3: tuple[_Row, ...] = (
    ("VDSR", 665, 612.6, (33.66, 29.77, 28.82, 27.14), (0.9213, 0.8314, 0.7976, 0.8279)),
    ("CARN", 1592, 118.8, (34.29, 30.29, 29.06, 28.06), (0.9255, 0.8407, 0.8034, 0.8493)),
    ("IMDN", 703, 71.5, (34.36, 30.32, 29.09, 28.17), (0.9270, 0.8417, 0.8046, 0.8519)),
)

_X4: tuple[_Row, ...] = (
    ("VDSR", 665, 612.6, (31.35, 28.01, 27.29, 25.18), (0.8838, 0.7674, 0.7251, 0.7524)),
    ("CARN", 1592, 90.9, (32.13, 28.60, 27.58, 26.07), (0.8937, 0.7806, 0.7349, 0.7837)),
    ("IMDN", 715, 40.9, (32.21, 28.58, 27.56, 26.04), (0.8948, 0.7811, 0.7353, 0.7838)),
)


def _measured(scores: tuple[float | None, ...]) -> dict[str, float]:
    return {
        benchmark: score
        for benchmark, score in zip(BENCHMARKS, scores, strict=True)
        if score is not None
    }


PEERS_BY_SCALE: dict[int, dict[str, Peer]] = {
    scale: {
        name: Peer(name, params, mult_adds, _measured(psnr), _measured(ssim))
        for name, params, mult_adds, psnr, ssim in rows
    }
    for scale, rows in ((2, _X2), (3, _X3), (4, _X4))
}
"""Published networks by scale and name."""

PEERS = PEERS_BY_SCALE[2]
"""Published x2 networks by name."""

SHOWN_PEERS = ("FALSR-A", "FALSR-B", "FALSR-C", "CARN", "CARN-M", "VDSR")
"""The x2 networks that figures and pages of a search mark beside its candidates."""


def shown_peers(scale: int) -> list[Peer]:
    """Return the networks to mark beside the candidates of a search for ``scale``."""
    peers = PEERS_BY_SCALE[scale]
    return [peers[name] for name in SHOWN_PEERS] if scale == 2 else list(peers.values())
