"""Files that are larger than they look, or have no end: refused before memory is taken for them."""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from features.arrays.table_dialects import workbook_bytes

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio import audio_decoding
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.base import read_bytes
from seqbelt.features.encoding import encode_sources
from seqbelt.features.text.text import Word
from seqbelt.features.video.video import FrameDifferences

KINDS = {
    "npy": Channels(kind="channels"),
    "wav": LogMel(kind="log_mel", sample_rate=8000),
    "mp4": FrameDifferences(kind="frame_differences"),
    "txt": Word(kind="word"),
}


class Encoder:
    """Of what nothing should be left to encode."""

    num_features = 1

    def encode(self, raws):
        assert not raws
        return []


def reason(features, source) -> str:
    """Why an item is refused where files are read for a store or a prediction."""
    ((_, _, found, _),) = [
        (one.index, one.content_hash, one.sequence, one.remarks)
        for one in encode_sources(features, Encoder(), [(0, source)], num_workers=1)
    ]
    assert isinstance(found, BadInput)
    return str(found)


@pytest.mark.parametrize("ending", KINDS)
def test_only_regular_files_are_opened(tmp_path: Path, ending):
    pipe, device = tmp_path / f"pipe.{ending}", tmp_path / f"zero.{ending}"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    began = time.monotonic()
    for path in (pipe, device):
        assert "not a regular file" in reason(KINDS[ending], path)
        with pytest.raises(BadInput, match=r"regular|video"):
            KINDS[ending].read(path)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("ending", KINDS)
def test_a_file_of_20_gb_is_refused_by_its_size(tmp_path: Path, ending):
    path = tmp_path / f"sparse.{ending}"
    with path.open("wb") as file:
        file.truncate(20 << 30)
    found = reason(KINDS[ending], path)
    assert found.startswith("too long") and KINDS[ending].size_setting in found


def test_what_is_as_large_as_allowed_is_read(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(BadInput, match=r"features\.x allows"):
        read_bytes(tmp_path / "x", 4, "features.x")


def parquet(table: pa.Table, **options) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    return file.getvalue()


def test_words_of_a_parquet_file_count_as_often_as_they_stand_there():
    long = pa.array(["a" * 100_000])
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(20_000, np.int32)), long)
    features = Channels(kind="channels", max_size_mb=50)
    bomb = parquet(pa.table({"a": words}))
    assert len(bomb) < 10_000
    assert "too long: 2000 MB" in reason(features, bomb)
    plain = parquet(pa.table({"a": ["a" * 1_000_000] * 60}), use_dictionary=False)
    assert "too long" in reason(features, plain)
    few = pa.table({"a": ["x", "y"] * 5, "b": np.arange(10.0)})
    raw = Channels(kind="channels", ignore=("a",)).read(parquet(few))
    assert raw.values[:, 0].tolist() == list(range(10))


def test_lists_in_a_parquet_column_cost_that_column_only():
    table = pa.table({"a": [["x" * 1000] * 9] * 10, "b": np.arange(10.0)})
    raw = Channels(kind="channels", ignore=("a",)).read(parquet(table))
    assert raw.names == ("b",) and len(raw.values) == 10
    raw = Channels(kind="channels").read(parquet(table))
    assert "list<" in str(raw.problems["a"])


def with_pickle(content: bytes) -> bytes:
    """A torch file with another pickle."""
    plain, changed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(3)}, plain)
    with zipfile.ZipFile(plain) as read, zipfile.ZipFile(changed, "w") as written:
        for info in read.infolist():
            is_pickle = info.filename.endswith("data.pkl")
            written.writestr(info.filename, content if is_pickle else read.read(info))
    return changed.getvalue()


@pytest.mark.parametrize("is_key", [True, False])
def test_a_pickle_that_unfolds_without_end_is_refused(is_key):
    doubled = b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(40))
    name = b"X\x01\x00\x00\x00a"
    start = b"" if is_key else name
    end = b"K\x01s." if is_key else b"s."
    content = with_pickle(b"\x80\x02}" + start + name + b"\x85q\x00" + doubled + end)
    began = time.monotonic()
    assert "unfolds to more than" in reason(KINDS["npy"], content)
    assert time.monotonic() - began < 5


def test_tensors_of_several_names_and_kinds_are_read():
    file = io.BytesIO()
    values = {"x": torch.ones(5, 2), "y": torch.zeros(3, dtype=torch.int64), "z": [1, {"a": 2}]}
    torch.save(values, file)
    raw = Channels(kind="channels", key="x").read(file.getvalue())
    assert raw.values.tolist() == [[1, 1]] * 5
    file = io.BytesIO()
    torch.save({(1, 2): torch.ones(5, 2)}, file)
    assert "keys are tuple" in reason(KINDS["npy"], file.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"1," * 1_000_000 + b"1\n",
        b"1 " * 1_000_000 + b"1\n",
        b"a,b\n" + b"1,2\n" * 10 + b"," * 1_000_000 + b"\n",
        b"a,b\n" + b"'1,2'\n" * 10 + b"1," * 1_000_000 + b"\n",
    ],
)
def test_a_million_columns_are_refused_with_their_line(content):
    began = time.process_time()
    assert "columns; at most 65536 are read" in reason(KINDS["npy"], content)
    assert time.process_time() - began < 5


def test_a_text_that_a_workbook_repeats_counts_as_often_as_it_stands_there():
    plain = zipfile.ZipFile(io.BytesIO(workbook_bytes([["a", "b"], [1.0, 2.0]])))
    sheet = b"".join(
        b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(1, 20_001)
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for info in plain.infolist():
            content = plain.read(info)
            if info.filename.endswith("sheet1.xml"):
                start, end = content.split(b"<sheetData>")[0], content.split(b"</sheetData>")[1]
                content = start + b"<sheetData>" + sheet + b"</sheetData>" + end
            written.writestr(info.filename, content)
        text = b"<si><t>" + b"a" * 1_000_000 + b"</t></si>"
        written.writestr("xl/sharedStrings.xml", b"<sst>" + text + b"</sst>")
    assert "too long: 2e+04 MB" in reason(KINDS["npy"], file.getvalue())


def test_hdf5_is_bounded_by_its_chunks_and_its_depth():
    h5py = pytest.importorskip("h5py")

    def written(make) -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            make(file)
        return buffer.getvalue()

    def deep(file):
        for _ in range(200):
            file = file.create_group("g")
        file["a"] = np.zeros((5, 2))

    def chunk(file):
        shape = {"maxshape": (None, 2), "chunks": (250_000_000, 2), "compression": "gzip"}
        file.create_dataset("a", (100, 2), dtype="f4", **shape)

    def loop(file):
        file["a"] = np.ones((5, 2))
        file["again"] = file["/"]

    assert "deep" in reason(KINDS["npy"], written(deep))
    assert "too long: 2000 MB" in reason(KINDS["npy"], written(chunk))
    assert Channels(kind="channels").read(written(loop)).values.tolist() == [[1, 1]] * 5


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16")])
def test_a_long_recording_read_in_blocks_is_the_same(monkeypatch, form, subtype):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (4001, 2))
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, subtype, format=form)
    whole = audio_decoding.decode_audio(file.getvalue(), 60)
    monkeypatch.setattr(audio_decoding, "BLOCK_VALUES", 1000)
    blocks = audio_decoding.decode_audio(file.getvalue(), 60)
    assert np.array_equal(whole.samples, blocks.samples)
    damaged = bytearray(file.getvalue())
    if form == "FLAC":
        damaged[30] ^= 1  # the MD5
        with pytest.raises(BadInput, match="MD5"):
            audio_decoding.decode_audio(bytes(damaged), 60)


def test_a_high_rate_of_hours_is_refused_by_its_header(monkeypatch):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(4000, np.int16), 96_000, "PCM_16", format="FLAC")
    monkeypatch.setattr(audio_decoding, "MIN_SAMPLES", 1000)
    monkeypatch.setattr(audio_decoding, "MAX_SAMPLES_PER_S", 1)
    with pytest.raises(BadInput, match="4000 samples at 96000 Hz"):
        audio_decoding.decode_audio(file.getvalue(), 60)
