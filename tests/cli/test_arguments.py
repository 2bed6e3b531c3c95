"""What is typed becomes Hydra's overrides; Hydra's own grammar is left as it is."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from falsr_nas.cli.arguments import hydra_arguments, named_plugins, quoted
from falsr_nas.cli.composition import again_command
from falsr_nas.cli.config import Schemas
from falsr_nas.convert import ConvertConfig
from falsr_nas.core.errors import UserError
from falsr_nas.evaluate import EvaluateConfig
from falsr_nas.search.config import SCHEMAS as SEARCH
from falsr_nas.train.config import SCHEMAS as TRAIN
from falsr_nas.upscale import UpscaleConfig

SCHEMAS = {
    "search": SEARCH,
    "train": TRAIN,
    "upscale": Schemas(UpscaleConfig, {}, words=("input",)),
    "convert": Schemas(ConvertConfig, {}, words=("input", "output")),
    "evaluate": Schemas(EvaluateConfig, {}, words=("model", "data_root")),
}


def translated(command: str, *typed: str) -> list[str]:
    arguments = hydra_arguments(typed, command, SCHEMAS[command])
    return [*arguments.options, *arguments.overrides]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (f"search nothing={'9' * 400}", [f"nothing={'9' * 400}"]),
        ("upscale photo.jpg", ["input=['photo.jpg']"]),
        ("upscale a.jpg b.jpg -o larger/", ["output='larger/'", "input=['a.jpg','b.jpg']"]),
        ("upscale input=photo.jpg", ["input=['photo.jpg']"]),
        ("upscale input=[a.jpg,b.jpg]", ["input=[a.jpg,b.jpg]"]),
        ("upscale input=a,b.jpg", ["input=['a,b.jpg']"]),
        ("upscale - -o - --size 8x8", ["output='-'", "size='8x8'", "input=['-']"]),
        ("upscale a --memory-limit 512", ["memory_limit=512", "input=['a']"]),
        ("upscale a --memory-limit=512", ["memory_limit=512", "input=['a']"]),
        ("upscale --overwrite a", ["overwrite=true", "input=['a']"]),
        ("upscale --overwrite false a", ["overwrite=false", "input=['a']"]),
        ("upscale --no-self-ensemble a", ["self_ensemble=false", "input=['a']"]),
        ("upscale ./a=b.jpg", ["input=['./a=b.jpg']"]),
        ("upscale x/a=b.jpg", ["input=['x/a=b.jpg']"]),
        ("upscale -- -a.jpg --b=c", ["input=['-a.jpg','--b=c']"]),
        ("upscale ~/a.jpg", ["input=['~/a.jpg']"]),
        ("upscale a --output null", ["output=null", "input=['a']"]),
        ("convert a.pb b.safetensors", ["input='a.pb'", "output='b.safetensors'"]),
        ("convert a.pb -o b/", ["output='b/'", "input='a.pb'"]),
        (
            "evaluate m.onnx sets --sets A,B",
            ["model='m.onnx'", "data_root='sets'", "sets=['A','B']"],
        ),
        ("evaluate m.onnx --sets A --sets B", ["model='m.onnx'", "sets=['A','B']"]),
        ("evaluate m.onnx sets=[A,B]", ["sets=[A,B]", "model='m.onnx'"]),
        ("search demo", ["+experiment=demo"]),
        ("search --experiment demo", ["+experiment=demo"]),
        ("search +experiment=demo", ["+experiment=demo"]),
        ("search demo -o out", ["run_dir='out'", "+experiment=demo"]),
        ("search --controller hybrid", ["controller=hybrid"]),
        ("search execution/failures=default", ["execution/failures=default"]),
        ("search --execution/failures default", ["execution/failures=default"]),
        ("search --training.learning-rate 1e-3", ["training.learning_rate=1e-3"]),
        ("search --space.channels 8,16", ["space.channels=[8,16]"]),
        ("search --data.train-dirs a,b", ["data.train_dirs=['a','b']"]),
        ("search seed=1,2 run_dir=x,y -m", ["-m", "seed=1,2", "run_dir=x,y"]),
        ("search --seed 1,2 --multirun", ["--multirun", "seed=1,2"]),
        ("search --cfg job seed=1 --resolve", ["--cfg", "job", "--resolve", "seed=1"]),
        ("search --info defaults", ["--info", "defaults"]),
        ("search ~tracking ++x=1 hydra.verbose=true", ["~tracking", "++x=1", "hydra.verbose=true"]),
        ("search -cd conf -cn other", ["-cd", "conf", "-cn", "other"]),
        ("train outputs/demo --n 2", ["n=2", "run_dir='outputs/demo'"]),
    ],
)
def test_typed_words(typed: str, expected: list[str]) -> None:
    assert translated(*typed.split()) == expected


def test_a_file_named_like_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert translated("upscale", "a=b.jpg") == ["a=b.jpg"]  # Hydra says that there is no such one
    (tmp_path / "a=b.jpg").touch()
    (tmp_path / "quality=9").touch()
    assert translated("upscale", "a=b.jpg") == ["input=['a=b.jpg']"]  # as a shell expands *.jpg
    assert translated("upscale", "quality=9") == ["quality=9"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("upscale a --modle x", "there is no option --modle: did you mean --model?"),
        ("search --lr 1", "there is no option --lr: did you mean --training.learning-rate?"),
        ("search --batch-size 1", "did you mean --training.batch-size?"),
        ("search --epochs 1", "did you mean --training.epochs?"),
        ("search --controler hybrid", "did you mean --controller?"),
        ("upscale a -x", "there is no option -x"),
        ("upscale a --quality", "--quality needs a value"),
        ("upscale a --model --overwrite", "--model needs a value"),
        ("upscale a -o", "-o needs a value"),
        (
            "convert a b c",
            "'c' is one word too many: the command is falsr-nas convert INPUT",
        ),
        ("search demoo", "there is no experiment 'demoo': did you mean demo?; the folder of the"),
        ("search outputs/a", "choose one of demo, x2_291"),
        ("search experiment=demo", "give +experiment=demo"),
        ("upscale --experiment demo", "there is no option --experiment"),
        ("upscale input=a.jpg b.jpg", "input is given by its name and as the word 'b.jpg'"),
        ("upscale input=[a.jpg] b.jpg", "input is given by its name and as the word 'b.jpg'"),
        ("upscale input=a.jpg --input b.jpg", "input is given as --input and as input=...: give"),
        ("convert a.pb b -o c", "output is given by its name and as the word 'b'"),
        ("search demo +experiment=x2_tiny", "experiment is given by its name and as the word"),
    ],
)
def test_mistakes(typed: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        translated(*typed.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(min_size=1).filter(lambda text: "${" not in text))
def test_any_text_is_taken_literally(text: str) -> None:
    override = OverridesParser.create().parse_override(f"output={quoted(text)}")
    assert str(override.value()) == text


@pytest.mark.parametrize("plugins", [["my (1)/p.py"], ["it's.py", "b.py"]])
def test_the_command_that_runs_again_is_read_back(plugins: list[str]) -> None:
    python, m, module, *typed = shlex.split(again_command("search", Path("a (1)"), plugins))
    assert (python, m, module) == ("python", "-m", "falsr_nas.search")
    assert named_plugins(typed) == plugins
    overrides = hydra_arguments(typed, "search", SEARCH).overrides
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = {one.key_or_group: one.value() for one in parsed}
    assert list(map(str, values["plugins"])) == plugins
    assert str(values["run_dir"]) == "a (1)-again"


@pytest.mark.parametrize(
    "typed",
    [
        "plugins=[a.py,b.py]",
        "plugins=['a.py', \"b.py\"]",
        "+plugins=a.py,b.py",
        "--plugins=a.py,b.py",
    ],
)
def test_plugins_are_found_before_the_config_is_composed(typed: str) -> None:
    assert named_plugins(["x", typed, "y"]) == ["a.py", "b.py"]
    assert named_plugins(["--plugins", "a.py,b.py", "y"]) == ["a.py", "b.py"]
    assert named_plugins(["--plugins"]) == named_plugins(["x.py"]) == []
