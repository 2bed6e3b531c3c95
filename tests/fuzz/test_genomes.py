"""Damaged genomes, as text and as JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED
from fuzz.mutations import fuzz, mutated

SEEDS = [str(genome).encode() for genome in PUBLISHED.values()] + [
    json.dumps(genome.to_json()).encode() for genome in PUBLISHED.values()
]


def check(text: str) -> None:
    try:
        genome = Genome.parse(text)
    except GenomeError as error:
        assert len(str(error)) < 500
        assert "\n" not in str(error)
    else:
        assert Genome.parse(str(genome)) == Genome.from_json(genome.to_json()) == genome


@fuzz
@given(mutated(SEEDS))
def test_damaged_genomes(content: bytes) -> None:
    check(content.decode("utf-8", "replace"))


@fuzz
@given(mutated(SEEDS))
def test_damaged_genomes_with_incomplete_characters(content: bytes) -> None:
    check(content.decode("utf-8", "surrogateescape"))


@fuzz
@given(st.text(alphabet='conv_gruGE0123456789fkbisnop |,->{}[]":\\ue\t\n', max_size=120))
def test_texts_of_the_characters_of_genomes(text: str) -> None:
    check(text)
