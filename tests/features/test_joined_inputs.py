"""Several inputs and columns of an item: what is written, learned, packed and refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.errors import BadInput, SettingsError
from seqbelt.experiment import Experiment
from seqbelt.features.base import JoinedSource
from seqbelt.features.encoding import encode_sources, hash_content, stamp_source
from seqbelt.features.input_layout import ColumnSize, InputLayout, InputSize
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.features.kinds import parse_stored
from seqbelt.features.manifest_columns import encode_cells, learn_columns

TWO = {"tone": {"kind": "channels"}, "note": {"kind": "word", "column": "remark"}}


def experiment(features, **sections):
    return Experiment.parse({"name": "x", "data": {"source": "x.csv"}, "features": features}
                            | sections)  # fmt: skip


@given(st.data())
def test_unpacking_gives_what_was_packed(data):
    sizes = [
        InputSize(str(at), data.draw(st.integers(1, 5)), data.draw(st.booleans()))
        for at in range(data.draw(st.integers(1, 3)))
    ]
    columns = [ColumnSize(str(at), data.draw(st.integers(1, 3))) for at in range(2)]
    layout = InputLayout(tuple(sizes), tuple(columns))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    parts = []
    for one in sizes:
        steps = data.draw(st.integers(0, 7))
        shape = (steps,) if one.is_tokens else (steps, one.num_features)
        values = random.integers(0, 1 << 20, shape)
        parts.append(values.astype(np.int32 if one.is_tokens else np.float32) if steps else None)
    cells = random.normal(size=layout.num_cells).astype(np.float32)
    packed = layout.pack(parts, cells)
    assert packed.shape[1] == layout.width
    assert np.array_equal(layout.cells(packed), cells)
    for part, found in zip(parts, layout.unpack(packed), strict=True):
        assert (part is None) == (found is None)
        assert part is None or (np.array_equal(part, found) and part.dtype == found.dtype)


def test_one_kind_beside_columns_is_the_only_input():
    features = experiment({"kind": "channels", "columns": ["age", "sex"]}).features
    assert isinstance(features, SeveralInputs)
    assert list(features.inputs) == ["sequence"]
    assert features.columns == {"age": "auto", "sex": "auto"}


def test_columns_of_a_video_grid_stay_its_own():
    features = experiment({"kind": "frame_differences", "columns": 4}).features
    assert features.to_dict()["columns"] == 4


def test_settings_are_read_as_they_were_written():
    first = experiment({**TWO, "columns": {"age": "number"}})
    assert first.features.manifest_column("note", "path", "text") == "remark"
    assert first.features.manifest_column("tone", "path", "text") == "path"
    assert Experiment.parse(first.to_dict()) == first
    assert parse_stored(json.loads(json.dumps(first.features.to_dict()))) == first.features


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"tone": {"kind": "channels"}}, "the only input"),
        ({"tone": {"kind": "channels", "skip_row": 1}, "note": {"kind": "word"}},
         "features.tone.skip_row: no such setting; did you mean 'skip_rows'"),
        ({"tone": {"kind": "channel"}, "note": {"kind": "word"}}, "features.tone.kind: expected"),
        ({"kind": "channels", "columns": ["age", "age"]}, "twice"),
        ({"kind": "channels", "columns": {"age": "float"}}, "features.columns.age"),
        ({"a-b": {"kind": "channels"}, "note": {"kind": "word"}}, "cannot be the name"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_meant_is_refused(features, said):
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")):
        experiment(features)


@pytest.mark.parametrize(
    "sections",
    [{"data": {"source": "x.csv", "labels": "per_step"}}, {"model": {"crop_steps": 5}},
     {"training": {"augmentation": {"noise_std": 0.1}}}],
)  # fmt: skip
def test_settings_of_a_single_sequence_are_refused(sections):
    with pytest.raises(SettingsError, match="is not for several inputs"):
        experiment(TWO, **sections)


def test_numbers_are_standardised_and_missing_ones_marked():
    (column,) = learn_columns({"age": "auto"}, [("10",), ("30",), ("",), ("NA",)])
    assert (column.kind, column.mean, column.std, column.num_missing) == ("number", 20, 10, 2)
    assert column.encode("40").tolist() == [2, 0]
    assert column.encode("n/a").tolist() == [0, 1]
    with pytest.raises(BadInput, match="'age': 'old' is not a number"):
        column.encode("old")


def test_categories_have_a_cell_each_one_for_others_and_one_for_missing():
    rows = [("f",), ("f",), ("m",), ("m",), ("x",), ("",)]
    (column,) = learn_columns({"sex": "auto"}, rows)
    assert column.values == ("f", "m")  # one row of x says nothing
    found = [column.encode(cell).tolist() for cell in ("f", " m", "x", "new", "?")]
    assert found == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert column.remark("new") and not column.remark("f") and not column.remark("")


def test_codes_can_be_categories():
    (column,) = learn_columns({"ward": "category"}, [("1",), ("1",), ("2",), ("2",)])
    assert column.values == ("1", "2")


@pytest.mark.parametrize(
    ("cells", "said"),
    [(["1", "2", "3", "4 kg"], "such as '4 kg'"), (["36,5", "37,1"], "decimal point"),
     (["", "na"], "empty in every")],
)  # fmt: skip
def test_columns_in_doubt_are_refused(cells, said):
    with pytest.raises(SettingsError, match=said):
        learn_columns({"x": "auto"}, [(cell,) for cell in cells])


def learned_features(folder: Path):
    np.save(folder / "a.npy", np.ones((4, 2), np.float32))
    features = experiment({**TWO, "columns": ["age"]}).features
    sources = [
        JoinedSource((folder / "a.npy", "good good day"), ("3",)),
        JoinedSource((folder / "a.npy", "good day"), ("5",)),
    ]
    return features, features.learn(sources), sources


def test_any_input_may_be_missing(tmp_path):
    features, learned, sources = learned_features(tmp_path)
    encoder = features.encoder(learned)
    sources += [
        JoinedSource((None, "day"), ("",)),
        JoinedSource((tmp_path / "a.npy", None), ("4",)),
        JoinedSource((tmp_path / "lost.npy", "day"), ("4",)),
    ]
    found = list(encode_sources(features, encoder, enumerate(sources)))
    layout = encoder.layout
    counts = [layout.num_steps(one.sequence).tolist() for one in found[:4]]
    assert counts == [[4, 3], [4, 2], [0, 1], [4, 0]]
    assert layout.cells(found[3].sequence).tolist() == encode_cells(encoder.columns, ["4"]).tolist()
    assert isinstance(found[4].sequence, BadInput)
    assert "tone: no such file" in str(found[4].sequence)


def test_an_item_is_known_by_all_its_inputs_and_cells(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    np.save(tmp_path / "b.npy", np.ones(3))
    one = JoinedSource((tmp_path / "a.npy", "text"), ("3",))
    same = JoinedSource((tmp_path / "b.npy", "text"), ("3",))
    assert hash_content(one) == hash_content(same)
    assert stamp_source(one) == stamp_source(JoinedSource(one.inputs, one.cells))
    for other in (JoinedSource(one.inputs, ("4",)), JoinedSource((one.inputs[0], "new"), ("3",))):
        assert hash_content(one) != hash_content(other)
        assert stamp_source(one) != stamp_source(other)
    assert stamp_source(JoinedSource((tmp_path / "lost.npy", "text"), ("3",))) == 0
