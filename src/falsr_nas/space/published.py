"""The published networks, as data.

Read from the authors' frozen graphs (xiaomi-automl/FALSR, ``pretrained_model``); where the paper's figures 3 and 4 differ, the graph wins.
FALSR-C's graph is public too, but the paper does not draw it.
"""

from __future__ import annotations

from falsr_nas.space.genome import Genome

PUBLISHED: dict[str, Genome] = {
    "FALSR-A": Genome.parse(
        "stem_f32 conv_f64_k3_b4_isskip conv_f48_k1_b1_isskip conv_f64_k3_b4_isskip conv_f64_k3_b4_isskip conv_f64_k3_b4_isskip"
        " conv_f64_k1_b4_noskip conv_f64_k3_b4_isskip | 2->4 0,2->5 0,2,5->7 0,1,2,3,4,5,6->8"
    ),
    "FALSR-B": Genome.parse(
        "stem_f32 invertBotConE2_f16_k3_b1_isskip invertBotConE2_f48_k1_b2_isskip conv_f16_k1_b2_isskip invertBotConE2_f32_k3_b4_noskip"
        " conv_f64_k3_b2_noskip groupConG4_f16_k3_b4_noskip conv_f16_k3_b1_isskip | 0->2 0,1->3 2,3->5 2,4->6 0,1,2->7 1,4,6->8"
    ),
}
