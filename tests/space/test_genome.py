import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.core.errors import UserError
from falsr_nas.space.cell import Cell, Operator
from falsr_nas.space.ends import Ends
from falsr_nas.space.errors import GenomeError
from falsr_nas.space.genome import Genome
from falsr_nas.space.published import PUBLISHED

operators = st.sampled_from(["conv", "groupConG2", "groupConG4", "invertBotConE2"]).map(
    Operator.parse
)
cells = st.builds(
    Cell,
    operators,
    st.sampled_from([16, 32, 48, 64]),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
)


ends = st.builds(
    Ends,
    st.sampled_from([16, 32, 64]),
    st.sampled_from(["paper", "subpixel"]),
    st.sampled_from([2, 4]),
) | st.sampled_from(
    [
        Ends(12, "subpixel", 3),
        Ends(36, "paper", 3),
        Ends(12, "subpixel", 4),
        Ends(20, "subpixel"),
        Ends(16, "paper", unshuffle=2),
        Ends(8, "skipsubpixel", 3, unshuffle=2),
    ]
)


@st.composite
def genomes(draw: st.DrawFn) -> Genome:
    chain = draw(st.lists(cells, min_size=1, max_size=8))
    links = [draw(st.sets(st.integers(0, target - 2))) for target in range(2, len(chain) + 2)]
    return Genome(
        tuple(chain),
        tuple(tuple(sorted(nodes)) for nodes in links),
        draw(ends),
    )


@given(cells)
def test_cell_names_round_trip(cell: Cell) -> None:
    assert Cell.parse(cell.name) == cell


@given(genomes())
def test_text_and_json_round_trip(genome: Genome) -> None:
    assert Genome.parse(str(genome)) == genome
    assert Genome.from_json(json.loads(json.dumps(genome.to_json()))) == genome
    assert Genome.parse(json.dumps(genome.to_json())) == genome


@given(genomes())
def test_the_key_ignores_only_residuals_without_effect(genome: Genome) -> None:
    for i, cell in enumerate(genome.cells):
        flipped = (
            genome.cells[:i] + (replace(cell, residual=not cell.residual),) + genome.cells[i + 1 :]
        )
        assert (replace(genome, cells=flipped).key == genome.key) == (cell.repeats == 1)


@given(genomes(), genomes())
def test_different_networks_have_different_keys(a: Genome, b: Genome) -> None:
    assert (a.key == b.key) == (a.canonical() == b.canonical())


@given(genomes())
def test_canonical_is_idempotent(genome: Genome) -> None:
    assert genome.canonical().canonical() == genome.canonical()


@given(genomes())
def test_every_target_reads_the_node_before_it_last(genome: Genome) -> None:
    for target in range(1, genome.n + 2):
        nodes = genome.inputs(target)
        assert nodes[-1] == target - 1
        assert list(nodes) == sorted(set(nodes))


@given(
    st.text()
    | st.from_regex(
        r"stem_f\d+ (conv|groupConG4)_f\d+_k\d_b\d_(is|no)skip( \| \d,\d->\d)?", fullmatch=True
    )
)
def test_any_text_is_a_genome_or_a_genome_error(text: str) -> None:
    try:
        assert isinstance(Genome.parse(text), Genome)
    except GenomeError as error:
        assert str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cells", "links", "stem", "2", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_genome_or_a_genome_error(value: object) -> None:
    try:
        assert isinstance(Genome.from_json(value), Genome)
    except GenomeError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 to 64 cells"),
        ("conv_f64_k3_b4", "is not a cell"),
        ("conf_f64_k3_b4_isskip", "unknown operator"),
        ("groupConG4_f18_k3_b1_noskip", "4 groups do not divide 18"),
        ("conv_f16_k2_b1_noskip", "odd"),
        ("conv_f16_k3_b0_noskip", "repeats"),
        ("conv_f9999_k3_b1_noskip", "channels"),
        ("conv_f16_k3_b1_noskip | 1->2", "ascending nodes in 0..0"),
        ("conv_f16_k3_b1_noskip | 0->9", "targets with links are 2..2"),
        ("conv_f16_k3_b1_noskip | 0->2 0->2", "given twice"),
        ("conv_f16_k3_b1_noskip | 0-2", "not a link"),
        ("stem_f30 conv_f16_k3_b1_noskip", "30 channels cannot be shuffled"),
        ("stem_f36 groupConG16_f16_k3_b1_noskip", "do not divide its 36 input channels"),
        ('{"cells": ["conv_f16_k3_b1_noskip"], "kells": 1}', "no 'kells'"),
        ('{"cells": 3}', 'a list "cells"'),
        ("{", "not JSON"),
    ],
)
def test_errors_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        Genome.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stem_f8 conv_f8_k1_b1_noskip bilinear_x2", "unknown upsampler 'bilinear'"),
        ("stem_f8 conv_f8_k1_b1_noskip subpixel_x5", "x2, x3 or x4"),
        ("stem_f8 subpixel_x2 conv_f8_k1_b1_noskip", "is not a cell"),
        ("stem_f0 conv_f8_k1_b1_noskip subpixel_x2", "channels must be in 1..1024"),
        ("stem_f32 conv_f8_k1_b1_noskip paper_x3", "32 channels cannot be shuffled into 3x3"),
        ("stem_f8 conv_f8_k1_b1_noskip paper_x4", "8 channels cannot be shuffled into 4x4"),
        ('{"cells": ["conv_f8_k1_b1_noskip"], "upsampler": 2}', "must be a name such as"),
        ('{"cells": ["conv_f8_k1_b1_noskip"], "upsampler": "x"}', "'x' is not an upsampler"),
        ("stem_f8_u2 conv_f8_k1_b1_noskip", "8 channels cannot be shuffled into 4x4"),
        ("stem_f8_u3 conv_f8_k1_b1_noskip subpixel_x2", "unshuffle is 3: it must be 1 or 2"),
        ('{"cells": ["conv_f8_k1_b1_noskip"], "unshuffle": true}', "must be a whole number"),
    ],
)
def test_errors_about_upsamplers(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Genome.parse(text)


def test_the_papers_upsampler_is_left_out() -> None:
    plain = Genome.parse("stem_f16 conv_f16_k3_b1_noskip | 0->2")
    named = Genome.parse("stem_f16 conv_f16_k3_b1_noskip paper_x2 | 0->2")
    assert named == plain
    assert str(named) == "stem_f16 conv_f16_k3_b1_noskip | 0->2"
    assert named.to_json() == {
        "stem": 16,
        "cells": ["conv_f16_k3_b1_noskip"],
        "links": {"2": [0]},
    }
    assert str(replace(plain, ends=Ends(16, "subpixel"))) == (
        "stem_f16 conv_f16_k3_b1_noskip subpixel_x2 | 0->2"
    )


@pytest.mark.parametrize(
    ("genome", "key"),
    [
        (PUBLISHED["FALSR-A"], "583412dd2df917f1"),
        (PUBLISHED["FALSR-B"], "a94a84b16d5b5f53"),
        (PUBLISHED["FALSR-C"], "45a84b98a1b257d7"),
        (Genome.parse("stem_f16 conv_f16_k3_b1_isskip | 0->2"), "e1fdd32386c5621c"),
    ],
)
def test_keys_of_version_0_1_are_unchanged(genome: Genome, key: str) -> None:
    assert genome.key == key


def test_published_links_are_the_specified_ones() -> None:
    a = PUBLISHED["FALSR-A"]
    assert sum(map(len, a.links)) == 13
    assert a.inputs(7) == (0, 2, 5, 6)
    assert PUBLISHED["FALSR-B"].inputs(8) == (1, 4, 6, 7)


def test_messages_stay_short_whatever_they_quote() -> None:
    for text in (
        "x" * 10**6,
        '{"cells": ["' + "x" * 10**6 + '"]}',
        '{"cells": ["conv_f8_k1_b1_noskip"], "stem": ' + "9" * 4000 + "}",
    ):
        with pytest.raises(GenomeError) as caught:
            Genome.parse(text)
        assert len(str(caught.value)) < 500


def test_json_numbers_with_too_many_digits_are_rejected() -> None:
    with pytest.raises(GenomeError, match="not JSON"):
        Genome.parse('{"cells": ' + "1" * 5000 + "}")
