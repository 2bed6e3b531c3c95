"""The networks published with the paper, as genomes.

They are read from the authors' frozen graphs (xiaomi-automl/FALSR, ``pretrained_model``). Where the
graphs differ from the paper's Figures 3 and 4, the graphs count: the published scores are theirs.
FALSR-C, which the paper does not draw, has 426,569 parameters and 97.955 G mult-adds in its graph.
The paper prints 408K and 93.7 G: the graph without the connection of node 2 to the upsampler.
"""

from __future__ import annotations

from falsr_nas.space.genome import Genome

PUBLISHED: dict[str, Genome] = {
    "FALSR-A": Genome.parse(
        "stem_f32 conv_f64_k3_b4_isskip conv_f48_k1_b1_isskip conv_f64_k3_b4_isskip"
        " conv_f64_k3_b4_isskip conv_f64_k3_b4_isskip conv_f64_k1_b4_noskip conv_f64_k3_b4_isskip"
        " | 2->4 0,2->5 0,2,5->7 0,1,2,3,4,5,6->8"
    ),
    "FALSR-B": Genome.parse(
        "stem_f32 invertBotConE2_f16_k3_b1_isskip invertBotConE2_f48_k1_b2_isskip"
        " conv_f16_k1_b2_isskip invertBotConE2_f32_k3_b4_noskip conv_f64_k3_b2_noskip"
        " groupConG4_f16_k3_b4_noskip conv_f16_k3_b1_isskip"
        " | 0->2 0,1->3 2,3->5 2,4->6 0,1,2->7 1,4,6->8"
    ),
    "FALSR-C": Genome.parse(
        "stem_f32 groupConG2_f32_k1_b1_noskip conv_f64_k1_b4_noskip"
        " invertBotConE2_f48_k3_b4_noskip groupConG2_f32_k1_b1_noskip groupConG4_f32_k1_b1_isskip"
        " conv_f48_k1_b4_noskip conv_f16_k3_b1_isskip"
        " | 0->2 1->4 0->5 0->6 1->7 0,2,6->8"
    ),
}
"""The genomes by the names of the networks."""
