"""Reading arrays: every format gives the same numbers; hostile and broken files give reasons."""

import io
import pickle
import re
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io
import torch

from seqbelt.errors import BadInput, Place
from seqbelt.features.arrays.reading import read_array
from seqbelt.features.arrays.table_layout import TableOptions

MEGABYTE = 1e6
VALUES = np.arange(12, dtype=np.float64).reshape(4, 3) / 8


def npy_bytes(values, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def npz_bytes(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def mat_bytes(compressed=True, **arrays) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=compressed)
    return file.getvalue()


def torch_bytes(value) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def parquet_bytes(columns) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def text_bytes(separator: str, header: str = "") -> bytes:
    lines = [separator.join(map(str, row)) for row in VALUES]
    return (header + "\n".join(lines) + "\n").encode()


def reason_of(content, max_bytes=MEGABYTE, **options) -> str:
    with pytest.raises(BadInput) as caught:
        read_array(content, max_bytes, **options)
    return caught.value.reason


@pytest.mark.parametrize(
    "content",
    [
        npy_bytes(VALUES),
        npy_bytes(np.asfortranarray(VALUES)),
        npz_bytes(x=VALUES),
        mat_bytes(x=VALUES),
        mat_bytes(x=VALUES, compressed=False),
        torch_bytes(torch.from_numpy(VALUES)),
        torch_bytes({"x": torch.from_numpy(VALUES).bfloat16().requires_grad_()}),
        parquet_bytes({name: VALUES[:, i] for i, name in enumerate("abc")}),
        text_bytes(",", "a,b,c\n"),
        text_bytes("\t"),
        text_bytes(";", "# a remark\n"),
        text_bytes("   "),
        b"\xef\xbb\xbf" + text_bytes(","),
    ],
    ids=[
        "npy",
        "fortran",
        "npz",
        "mat",
        "mat-plain",
        "pt",
        "pt-bf16",
        "parquet",
        "csv",
        "tsv",
        "remark",
        "spaces",
        "bom",
    ],
)
def test_every_format_gives_the_numbers_whatever_the_file_is_called(content, tmp_path: Path):
    misnamed = tmp_path / "array.bin"
    misnamed.write_bytes(content)
    for source in (content, misnamed):
        np.testing.assert_array_equal(read_array(source, MEGABYTE).values, VALUES)


def test_an_array_passes_through():
    assert read_array(VALUES, MEGABYTE).values is VALUES


@pytest.mark.parametrize("make", [npz_bytes, mat_bytes, lambda **a: torch_bytes(
    {name: torch.from_numpy(value) for name, value in a.items()})])  # fmt: skip
def test_the_key_chooses_among_several_arrays(make):
    content = make(x=VALUES, y=VALUES + 1)
    np.testing.assert_array_equal(read_array(content, MEGABYTE, key="y").values, VALUES + 1)
    with pytest.raises(BadInput, match=r"features\.key; found: x, y"):
        read_array(content, MEGABYTE)
    with pytest.raises(BadInput, match="no array named 'z'"):
        read_array(content, MEGABYTE, key="z")


def test_header_and_empty_cells_of_a_table():
    array = read_array(b"t,x,word\n0,1.5,a\n1,?,b\n2,,a\n", MEGABYTE)
    assert array.names == ("t", "x", "word") and array.is_table
    assert array.not_numbers == {2: ("'a'", Place(2))}
    assert list(array.asides) == [0]
    np.testing.assert_array_equal(array.values[:, 1], [1.5, np.nan, np.nan])


def test_a_first_line_with_a_number_is_data_unless_said_otherwise():
    content = b"1,2\n3,4\n"
    assert read_array(content, MEGABYTE).values.shape == (2, 2)
    assert read_array(content, MEGABYTE, options=TableOptions(header=True)).names == ("1", "2")
    assert read_array(content, MEGABYTE, options=TableOptions(header=True)).values.shape == (1, 2)


class Trap:
    """Writes a file as soon as somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(tmp_path: Path):
    sprung = tmp_path / "sprung"
    trap = Trap(sprung)
    objects = np.array([trap, trap], dtype=object)
    pickles = {
        "npy": npy_bytes(objects, allow_pickle=True),
        "npz": npz_bytes(x=objects),
        "bare": pickle.dumps(trap),
        "pt": torch_bytes(trap),
        "pt in a dictionary": torch_bytes({"x": torch.zeros(2), "y": trap}),
    }
    for name, content in pickles.items():
        why = reason_of(content, key="x" if name.startswith("pt in") else None)
        assert why == "wrong type"
        assert not sprung.exists(), name
    pickle.loads(pickles["bare"])
    assert sprung.exists()  # the trap does work


def test_a_zip_bomb_is_refused_before_it_is_inflated():
    zeros = np.zeros(20_000_000, dtype=np.uint8)
    for content in (npz_bytes(x=zeros), mat_bytes(x=zeros)):
        assert len(content) < 100_000
        tracemalloc.start()
        assert reason_of(content) == "too long"
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10e6


def test_a_bomb_whose_headers_lie_is_refused():
    claim = repr({"descr": "<f8", "fortran_order": False, "shape": (2_000_000_000,)}) + "\n"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim)) + claim.encode()
    assert reason_of(header + bytes(16)) == "too long"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:  # may inflate past its size
        archive.writestr("x.npy", npy_bytes(VALUES))
    assert reason_of(file.getvalue()) == "wrong type"
    # A .mat whose array is small by its dimensions while its bytes inflate to 20 MB.
    body = zlib.compress(bytes(20_000_000))
    mat = mat_bytes(x=VALUES)[:128] + struct.pack("<II", 15, len(body)) + body
    assert reason_of(mat) == "too long"


def test_a_tensor_that_repeats_one_number_is_measured_by_its_shape():
    for dtype in (torch.float32, torch.bfloat16):  # the second must be copied to be converted
        content = torch_bytes(torch.zeros(1, dtype=dtype).expand(10**13))
        assert reason_of(content) == "too long"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (npy_bytes(np.zeros((0, 3))), "empty"),
        (npy_bytes(VALUES)[:-8], "truncated"),
        (npz_bytes(x=np.random.default_rng(0).random(999))[:-40], "unreadable"),
        (mat_bytes(x=np.random.default_rng(0).random(999))[:-40], "truncated"),
        (parquet_bytes({"a": [1.0]})[:-6], "unreadable"),
        (npy_bytes(np.array(["a", "b"])), "wrong type"),
        (npy_bytes(np.array([1 + 2j])), "wrong type"),
        (mat_bytes(x={"field": 1.0}), "wrong type"),
        (b"\x00\x01binary\xff" * 9, "wrong type"),
        (b"\xff\xfebroken utf-8\n1\n", "unreadable"),
        (b"1,2\n3,4,5\n", "wrong shape"),
    ],
    ids=[
        "nothing",
        "npy-no-rows",
        "npy-truncated",
        "npz-truncated",
        "mat-truncated",
        "parquet-truncated",
        "npy-strings",
        "npy-complex",
        "mat-struct",
        "binary",
        "utf-16",
        "csv-ragged",
    ],
)
def test_broken_content_has_a_reason(content, reason):
    assert reason_of(content) == reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy_bytes(VALUES) + npy_bytes(VALUES), "several arrays one after the other"),
        (b"ARROW1\0\0" + bytes(100), "an Arrow or Feather file: save it as .parquet"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch's format before 1.6"),
    ],
)
def test_what_holds_more_or_is_of_another_format_is_named(content, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        read_array(content, 1e6)


def test_a_file_larger_than_allowed_is_not_even_read(tmp_path: Path):
    path = tmp_path / "large.csv"
    path.write_bytes(b"1\n" * 600_000)
    assert reason_of(path) == "too long"
    assert reason_of(tmp_path / "absent.npy") == "unreadable"


def test_hdf5_is_read_when_h5py_is_there_and_named_when_not(tmp_path: Path):
    try:
        import h5py  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        assert reason_of(b"\x89HDF\r\n\x1a\n" + bytes(600)) == "unreadable"
        with pytest.raises(BadInput, match="h5py"):
            read_array(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", MEGABYTE)
        return
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["group/x"] = VALUES
        file["outside"] = h5py.ExternalLink("/etc/passwd", "x")
    np.testing.assert_array_equal(read_array(path, MEGABYTE).values, VALUES)
    assert reason_of(path, key="outside") == "wrong type"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = VALUES.T
    matlab = b"MATLAB 7.3 MAT-file".ljust(512) + path.read_bytes()[512:]
    np.testing.assert_array_equal(read_array(matlab, MEGABYTE).values, VALUES)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("part", range(4))
def test_a_mat_file_with_an_unknown_data_type_does_not_end_the_process(part, compressed):
    """SciPy looks such a type up in a table that does not hold it."""
    content = bytearray(mat_bytes(compressed=False, abcdef=VALUES))
    places = [136, 152, 168, 184]  # flags, dimensions, name and numbers of the one variable
    content[places[part]] = 0xEE
    if compressed:
        packed = zlib.compress(content[128:])
        content[128:] = struct.pack("<II", 15, len(packed)) + packed
    with pytest.raises(BadInput, match=r"unreadable.*type 238"):
        read_array(bytes(content), 1e6)


def test_complex_numbers_in_a_mat_file_are_refused():
    with pytest.raises(BadInput, match="wrong type: complex"):
        read_array(mat_bytes(x=VALUES + 1j), 1e6)


def test_notes_on_words_of_a_parquet_table_name_their_columns():
    content = parquet_bytes({"x": [1.0, 2.0], "state": ["true", "false"], "v": ["12 mV", "13 mV"]})
    array = read_array(content, 1e6)
    assert array.values.tolist() == [[1, 1, 12], [2, 0, 13]]
    assert [note.partition(":")[0] for note in array.notes] == ["column 'state'", "column 'v'"]
    mixed = parquet_bytes({"x": [1.0, 2.0], "level": ["1,5", "2.5"]})
    with pytest.raises(BadInput, match="line 2, column 'level'"):
        read_array(mixed, 1e6)
