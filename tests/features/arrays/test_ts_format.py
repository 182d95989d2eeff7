"""The .ts reader, on small files and, where the archive is present, on the real ones."""

from pathlib import Path

import numpy as np
import pytest

from seqbelt.errors import SeqbeltError
from seqbelt.features.arrays.ts_format import read_ts

GOOD = """# a comment
@problemName tiny
@timeStamps false
@dimensions 2
@equalLength false
@classLabel true up down

@data
1,2,3:4,5,6:up
7.5,?:-1e-3,NaN:down
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "tiny_TRAIN.ts"
    path.write_text(text)
    return path


def test_lengths_differ_and_missing_values_are_nan(tmp_path: Path):
    first, second = read_ts(write(tmp_path, GOOD))
    np.testing.assert_array_equal(first.values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(
        second.values, np.array([[7.5, -1e-3], [np.nan, np.nan]], np.float32)
    )
    assert (first.label, second.label) == ("up", "down")
    assert (first.line, second.line) == (9, 10)
    assert first.values.dtype == np.float32


def test_a_file_without_labels(tmp_path: Path):
    (example,) = read_ts(write(tmp_path, "@classLabel false\n@data\n1,2:3,4\n"))
    assert example.label is None and example.values.shape == (2, 2)


@pytest.mark.parametrize(
    ("before", "after", "line", "complaint"),
    [
        ("4,5,6:up", "4,5:up", 9, "channels of 2 and of 3 steps"),
        ("4,5,6:up", "4,5,x:up", 9, "channel 1"),
        ("4,5,6:up", "4,5,6:sideways", 9, "'sideways' is none of"),
        (":-1e-3,NaN:down", ":down", 10, "1 channels, @dimensions says 2"),
        ("@timeStamps false", "@timeStamps true", 3, "time stamps"),
        ("@equalLength false", "@targetLabel true", 5, "regression"),
        ("@dimensions 2", "@dimensions two", 4, "@dimensions"),
        ("@data\n", "", 8, "up to '@data'"),
    ],
)
def test_a_fault_names_the_file_and_the_line(tmp_path, before, after, line, complaint):
    path = write(tmp_path, GOOD.replace(before, after))
    with pytest.raises(SeqbeltError) as caught:
        read_ts(path)
    assert f"tiny_TRAIN.ts, line {line}: " in str(caught.value)
    assert complaint in str(caught.value)


def test_a_file_that_holds_nothing_or_is_missing(tmp_path: Path):
    with pytest.raises(SeqbeltError, match="no example"):
        read_ts(write(tmp_path, "@data\n"))
    with pytest.raises(SeqbeltError, match="cannot be read"):
        read_ts(tmp_path / "absent.ts")
    (tmp_path / "binary.ts").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeqbeltError, match="not a text file"):
        read_ts(tmp_path / "binary.ts")


@pytest.mark.parametrize(
    ("name", "count", "channels", "shortest", "longest", "num_classes"),
    [
        ("JapaneseVowels_TRAIN", 270, 12, 7, 26, 9),
        ("JapaneseVowels_TEST", 370, 12, 7, 29, 9),
        ("BasicMotions_TRAIN", 40, 6, 100, 100, 4),
    ],
)
def test_the_archive_is_as_described(
    name, count, channels, shortest, longest, num_classes, real_data
):
    examples = read_ts(real_data(f"uea/{name}.ts"))
    lengths = [len(example.values) for example in examples]
    assert (len(examples), min(lengths), max(lengths)) == (count, shortest, longest)
    assert {example.values.shape[1] for example in examples} == {channels}
    assert len({example.label for example in examples}) == num_classes
    if name == "JapaneseVowels_TRAIN":
        np.testing.assert_allclose(examples[0].values[:2, 0], [1.860936, 1.891651])
