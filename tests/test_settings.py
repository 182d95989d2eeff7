import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

import seqbelt
from seqbelt.data.sources.dataset import Data
from seqbelt.errors import SettingsError, in_words
from seqbelt.models.model import Model
from seqbelt.settings import Settings, override
from seqbelt.yaml_reading import read_yaml


class Circle(Settings):
    kind: Literal["circle"]
    radius: float = 1.0


class Box(Settings):
    kind: Literal["box"]
    width: float = 1.0
    height: float = 1.0


class Loop(Settings):
    num_epochs: int = 3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    sizes: tuple[int, ...] = (1, 2)


class Whole(Settings):
    name: str = "x"
    shape: Annotated[Circle | Box, Field(discriminator="kind")] = Circle(kind="circle")
    loop: Loop = Loop()


def faults(values: dict) -> list[str]:
    with pytest.raises(SettingsError) as error:
        Whole.parse(values, origin="my.yaml")
    first, *lines = str(error.value).splitlines()
    assert first.startswith("my.yaml: ")
    return lines


@pytest.mark.parametrize(
    ("values", "setting", "hint"),
    [
        ({"loop": {"num_epoch": 3}}, "loop.num_epoch:", "'num_epochs'"),
        ({"nam": "y"}, "nam:", "'name'"),
        ({"shape": {"kind": "box", "widht": 2}}, "shape.widht:", "'width'"),
        ({"loop": {"zzzzz": 3}}, "loop.zzzzz:", "learning_rate, num_epochs, sizes"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(values, setting, hint):
    (line,) = faults(values)
    assert line.strip().startswith(setting)
    assert hint in line


def test_the_settings_of_another_kind_are_not_offered():
    (line,) = faults({"shape": {"kind": "circle", "width": 2}})
    assert "radius" in line
    assert "height" not in line


@pytest.mark.parametrize(
    ("values", "setting", "found", "expected"),
    [
        ({"loop": {"num_epochs": "3"}}, "loop.num_epochs:", '"3"', "integer"),
        ({"loop": {"num_epochs": 2.5}}, "loop.num_epochs:", "2.5", "integer"),
        ({"loop": {"num_epochs": True}}, "loop.num_epochs:", "true", "integer"),
        ({"loop": {"learning_rate": -1}}, "loop.learning_rate:", "-1", "greater than 0"),
        ({"loop": {"sizes": [1, "b"]}}, "loop.sizes.1:", '"b"', "integer"),
        ({"name": 3}, "name:", "3", "string"),
        ({"loop": 7}, "loop:", "7", "object"),
        ({"shape": {"kind": "box", "width": "w"}}, "shape.width:", '"w"', "number"),
        ({"shape": {"kind": "bx"}}, "shape.kind:", '"bx"', "'circle', 'box'"),
    ],
)
def test_a_wrong_value_names_setting_found_and_expected(values, setting, found, expected):
    (line,) = faults(values)
    assert line.strip().startswith(setting)
    assert found in line
    assert expected in line


def test_a_union_without_its_kind_asks_for_the_kind():
    assert faults({"shape": {"width": 1}}) == ["  shape.kind: required, but not given"]


def test_all_faults_are_reported_at_once():
    lines = faults(
        {"nam": "y", "shape": {"kind": "bx"}, "loop": {"num_epochs": "3", "learning_rate": 0}}
    )
    settings = {line.split(":")[0].strip() for line in lines}
    assert settings == {"nam", "shape.kind", "loop.num_epochs", "loop.learning_rate"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_are_finite(value):
    assert faults({"loop": {"learning_rate": value}})


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Loop().num_epochs = 4  # type: ignore[misc]


@given(
    name=st.text(),
    epochs=st.integers(-(2**60), 2**60),
    rate=st.floats(1e-300, 1e300),
    sizes=st.lists(st.integers(0, 9)),
    box=st.booleans(),
)
def test_plain_values_parse_back_to_the_same_settings(name, epochs, rate, sizes, box):
    shape = Box(kind="box", height=rate) if box else Circle(kind="circle", radius=rate)
    loop = Loop(num_epochs=epochs, learning_rate=rate, sizes=tuple(sizes))
    whole = Whole(name=name, shape=shape, loop=loop)
    assert Whole.parse(whole.to_dict()) == whole


def test_flat_settings_have_dotted_names_and_lose_nothing():
    flat = Whole().flat()
    assert flat["loop.learning_rate"] == 1e-3
    assert flat["shape.radius"] == 1.0
    rebuilt = override({}, [f"{key}={value}" for key, value in flat.items()])
    assert Whole.parse(rebuilt) == Whole()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), ("-.5e+2", -50.0), ("1.0e-3", 0.001), ("3", 3), ("0.5", 0.5),
        ("true", True), ("null", None), ("[1, 2]", [1, 2]), ("'3'", "3"), ("1e", "1e"),
        ("2020-01-01", "2020-01-01"), ("", None), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_override_values_are_read_as_yaml(text, value):
    found = override({}, [f"a.b={text}"])["a"]["b"]
    assert found == value
    assert type(found) is type(value)


def test_a_yaml_file_reads_numbers_as_the_overrides_do(tmp_path):
    (tmp_path / "c.yaml").write_text("loop: {learning_rate: 1e-2}\n")
    assert Whole.load(tmp_path / "c.yaml").loop.learning_rate == 0.01


def test_overrides_replace_one_setting_and_leave_the_rest_and_the_original():
    values = {"loop": {"num_epochs": 5, "learning_rate": 0.5}}
    changed = override(values, ["loop.num_epochs=7", "name=new"])
    assert changed == {"loop": {"num_epochs": 7, "learning_rate": 0.5}, "name": "new"}
    assert values == {"loop": {"num_epochs": 5, "learning_rate": 0.5}}


def test_overrides_reach_entries_of_lists_by_number():
    values = {"a": [{"b": 1}, {"b": 2}], "c": [1, 2]}
    changed = override(values, ["a.1.b=3", "c.0=4"])
    assert changed == {"a": [{"b": 1}, {"b": 3}], "c": [4, 2]}
    for text in ("a.2.b=3", "a.b.c=3", "a.b=3", "c.2=1"):
        with pytest.raises(
            SettingsError, match=r"is not a section|is not an index of this list: expected 0 to"
        ):
            override(values, [text])


def test_the_last_override_of_a_setting_wins():
    assert override({}, ["a=1", "a=2"]) == {"a": 2}


@pytest.mark.parametrize("text", ["loop", "=3", "loop.=3", "a b=3", "name.x=3", "a=[1", ".a=1"])
def test_a_malformed_override_is_refused_and_quoted(text):
    with pytest.raises(SettingsError, match="override") as error:
        override({"name": "x"}, [text])
    assert text in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"- 1\n", b"just text", b"a: [1", b"\xff\xfe\xfa", b"a: &x {b: *y}"],
    ids=["empty", "list", "text", "unclosed", "no-utf-8", "no-anchor"],
)
def test_a_file_that_is_no_yaml_mapping_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"bad\.yaml"):
        read_yaml(tmp_path / "bad.yaml")


def test_a_missing_file_or_a_folder_is_refused_by_name(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsError, match=path.name):
            read_yaml(path)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("name: a\nloop: {num_epochs: 1}\nname: b\n", 3, "duplicate key 'name', first in line 1"),
        ("loop:\n  num_epochs: 1\nname: a\nloop:\n  learning_rate: 0.1\n", 4, "'loop'"),
        ("loop:\n  num_epochs: 1\n  num_epochs: 2\n", 3, "'num_epochs'"),
        ("name: a\nloop: {num_epochs: 010}\n", 2, "010 is octal"),
        ("name: 0010\n", 1, "octal"),
        ("name: a\nloop: #1\n", 2, "write '#1' in quotes for a value"),
        ("name: # # is the name\n", 1, "write '#' in quotes"),
        ("name:\n- a\n- #\n", 3, "write '#' in quotes"),
        ("name: a\nloop: {num_epochs: 1:30}\n", 2, "base-60"),
        ("loop: {learning_rate: 1:30.5}\n", 1, "base-60"),
        ("name: a\nloop: {num_epochs: " + "9" * 5000 + "}\n", 2, "5000 characters"),
        ("loop:\n  sizes: " + "[" * 5000 + "\n", 2, "deep"),
        ("loop:\n" + "\n".join(" " * n + "a:" for n in range(1, 300)) + "\n", 41, "deep"),
        ("a: &a [1, 2]\nb: &b\n  c: [*a, *b]\n", 2, "contains itself"),
        ('name: a\noutput: "a\\0b"\n', 2, "zero byte"),
        ("name: !!python/name:os.system x\n", 1, "tag"),
        ("name: !!binary aGk=\n", 1, "tag"),
        ("name: a\n? [b]\n: c\n", 2, "must be a string"),
        ("name: a\nloop: [1, 2\nshape: 3\n", 3, "expected"),
        ("loop:\n  shape: {name: ,}\n", 2, "(write name: \",\" if it is one)"),
        ("shape: {no: 1}\n", 1, 'YAML reads no as bool: write "no" in quotes for a name'),
        ("shape: {1.0: 1, 1: 2}\n", 1, 'write "1.0" in quotes for a name'),
        ("loop: {learning_rate: , num_epochs: 1}\n", 1, "'learning_rate' has no value"),
        ("loop:\n  shape: ,\n", 2, 'a comma that is a value stands in quotes: ","'),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_never_ends_is_refused_with_its_line(
    tmp_path, content, line, words
):
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(SettingsError, match=rf"c\.yaml: not valid YAML: line {line}\b") as error:
        Whole.load(tmp_path / "c.yaml")
    assert words in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("kind", ["[{0}]", "{{<<: [{0}]}}"])
def test_aliases_that_multiply_are_refused_at_once(tmp_path, kind):
    """A few lines that would become 9 ** 30 values."""
    start = "a0: &a0 [x]\n" if "<" not in kind else "a0: &a0 {k: x}\n"
    body = "".join(
        f"a{n}: &a{n} {kind.format(', '.join([f'*a{n - 1}'] * 9))}\n" for n in range(1, 31)
    )
    (tmp_path / "c.yaml").write_text(start + body)
    with pytest.raises(SettingsError, match=r"line \d+.*aliases"):
        read_yaml(tmp_path / "c.yaml")


def test_anchors_and_merges_are_read(tmp_path):
    text = "base: &base {num_epochs: 5, learning_rate: 0.5}\nloop: {<<: *base, num_epochs: 7}\n"
    (tmp_path / "c.yaml").write_text(text)
    found = read_yaml(tmp_path / "c.yaml")["loop"]
    assert found == {"num_epochs": 7, "learning_rate": 0.5}


def test_quoted_texts_that_look_like_numbers_stay_texts(tmp_path):
    (tmp_path / "c.yaml").write_text("a: '010'\nb: \"1:30\"\nc: 0\nd: 10\ne: 0.5\nf: -0\ng: 0x1F\n")
    expected = {"a": "010", "b": "1:30", "c": 0, "d": 10, "e": 0.5, "f": 0, "g": 31}
    assert read_yaml(tmp_path / "c.yaml") == expected


@pytest.mark.parametrize("value", ["010", "1:30", "{a: 1, a: 2}", "[" * 3000, "9" * 5000])
def test_overrides_are_read_as_strictly(value):
    with pytest.raises(SettingsError, match=r"override .loop\.num_epochs="):
        override({}, [f"loop.num_epochs={value}"])


def test_a_wrong_value_is_named_with_its_line_unless_it_was_replaced(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "name: x\nloop:\n  num_epochs: 1\n  learning_rate: -1\n  sizes: [1,\n    b]\nshape:\n"
        "  kind: bx\n"
    )
    with pytest.raises(SettingsError) as error:
        Whole.load(tmp_path / "c.yaml", ["loop.learning_rate=-2"])
    lines = dict(line.strip().split(": ", 1) for line in str(error.value).splitlines()[1:])
    assert "(line" not in lines["loop.learning_rate"]
    assert lines["loop.sizes.1"].endswith("(line 6)")
    assert lines["shape.kind"].endswith("(line 8)")


def test_a_config_without_an_end_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="longer than"):
        read_yaml("/dev/zero")
    (tmp_path / "big.yaml").write_text("# " + "x" * (1 << 20))
    with pytest.raises(SettingsError, match=r"big\.yaml: longer than"):
        read_yaml(tmp_path / "big.yaml")


def test_replaced_settings_are_validated_like_those_of_a_file():
    whole = Whole.parse({"loop": {"num_epochs": 5}})
    with pytest.raises(SettingsError, match=r"learning_rate.*greater than 0"):
        whole.loop.replace(learning_rate=-5.0)
    with pytest.raises(SettingsError, match=r"num_epoch.*did you mean 'num_epochs'"):
        whole.loop.replace(num_epoch=1)
    with pytest.raises(SettingsError, match=r"hidden_size.*found -5"):
        Model().replace(hidden_size=-5)
    changed = whole.replace(loop=whole.loop.replace(sizes=(3,)))
    assert changed.loop == Loop(num_epochs=5, sizes=(3,)) and whole.loop.sizes == (1, 2)
    assert changed.loop.model_fields_set == {"num_epochs", "sizes"}  # defaults stay defaults
    assert changed.model_fields_set == {"loop"}


def test_nothing_in_the_package_copies_settings_without_validating_them():
    package = Path(seqbelt.__file__).parent
    copies = [path for path in package.rglob("*.py") if "model_copy(" in path.read_text("utf-8")]
    assert [path.name for path in copies] == ["settings.py"]


def test_old_names_of_settings_are_accepted_with_a_note(tmp_path, caplog):
    from seqbelt.experiment import Experiment

    config = tmp_path / "c.yaml"
    config.write_text(
        "name: a\ndata: {source: x}\nmodel: {max_steps: 5}\n"
        "features: {kind: channels, sample_rate: 50.0}\n"
    )
    old = Experiment.load(config, ["model.max_steps=7"])
    assert (old.model.max_steps, old.features.sample_rate) == (7, 50.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"{config}: the setting features.sample_rate is now called features.source_rate_hz",
        f"{config}: the setting model.max_steps is now called model.crop_steps",
    ]
    caplog.clear()
    config.write_text(
        "name: a\ndata: {source: x}\nmodel: {crop_steps: 7}\n"
        "features: {kind: channels, source_rate_hz: 50.0}\n"
    )
    new = Experiment.load(config)
    assert new == old and new.to_dict() == old.to_dict()
    assert Experiment.load(config, ["model.max_steps=3"]).model.max_steps == 3
    assert new.to_dict()["model"]["max_steps"] == 7  # stored settings keep their names


def test_a_fault_of_a_renamed_setting_has_its_new_name_and_its_line(tmp_path):
    from seqbelt.experiment import Experiment

    config = tmp_path / "c.yaml"
    config.write_text(
        "name: a\ndata: {source: x}\nfeatures: {kind: word}\nmodel:\n  max_steps: 0\n"
    )
    with pytest.raises(SettingsError, match=r"model\.crop_steps: .*found 0 \(line 5\)"):
        Experiment.load(config)


@pytest.mark.parametrize("setting", ["prepared", "corrections"])
def test_an_address_is_no_local_path(setting):
    with pytest.raises(SettingsError, match=f"{setting}.*'s3://a/b' is an address"):
        Data.parse({"source": "a.csv", setting: "s3://a/b"}, origin="data")


@pytest.mark.parametrize("value", [False, 1e3])
def test_what_yaml_takes_for_no_text_is_refused_with_the_remedy(value):
    with pytest.raises(SettingsError, match="write it in quotes"):
        Whole.parse({"name": value})


def test_a_number_that_no_counter_holds_is_refused():
    values = {"source": "a.csv", "num_folds": 10**30}
    with pytest.raises(SettingsError, match=r"num_folds: expected a number up to 2\^60"):
        Data.parse(values, origin="data")


@pytest.mark.parametrize("size", [1 << 40, 1 << 61])
def test_a_network_that_no_memory_holds_is_said_to_be_one(size):
    with pytest.raises(RuntimeError) as error:
        torch.empty(size, 4)
    assert in_words(error.value).startswith("out of memory")
