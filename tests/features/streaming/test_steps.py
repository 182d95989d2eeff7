"""Steps of a signal in pieces are the steps of its file, whatever the pieces."""

import io
import pickle
import re
import tracemalloc
from functools import partial
from itertools import pairwise
from unittest.mock import ANY

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from seqbelt.errors import BadInput, Place
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.arrays.skeleton import Skeleton
from seqbelt.features.arrays.vectors import Vectors
from seqbelt.features.audio.audio import LogMel, Mfcc, Waveform
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.audio.spectral import Spectral
from seqbelt.features.streaming.byte_streams import PcmReader, TableReader
from seqbelt.features.streaming.foreign_bytes import HEAD_BYTES, name_foreign
from seqbelt.features.streaming.steps import stream_steps, why_whole
from seqbelt.features.text.text import Character
from seqbelt.features.video.video import FrameDifferences

AUDIO = {"sample_rate": 8000, "window_ms": 4.0, "hop_ms": 1.5}
KINDS = [
    LogMel(kind="log_mel", num_bands=6, **AUDIO),
    LogMel(kind="log_mel", num_bands=6, deltas=1, **AUDIO),
    Mfcc(kind="mfcc", num_bands=6, num_coefficients=4, deltas=2, **AUDIO),
    Waveform(kind="waveform", **AUDIO),
    Waveform(kind="waveform", sample_rate=8000, window_ms=0.125, hop_ms=0.125),
    Waveform(kind="waveform", sample_rate=8000, window_ms=1.0, hop_ms=3.0, deltas=1),
]


def feed(features, encoder, inputs, cuts):
    stream = stream_steps(features, encoder)
    pieces = np.split(inputs, sorted(cuts))
    return np.concatenate([*map(stream.push, pieces), stream.finish()])


def encode(features, samples):
    return features.encode([Audio(samples, features.sample_rate)])[0]


@pytest.mark.parametrize("features", KINDS, ids=lambda f: f"{f.kind}-{f.window}-{f.deltas}")
@given(data=st.data(), num_samples=st.integers(1, 400))
def test_frames_are_those_of_the_file(features, data, num_samples, noise):
    samples = noise(num_samples, num_samples)
    cuts = data.draw(st.lists(st.integers(0, num_samples), max_size=30))
    found = feed(features, features, samples, cuts)
    expected = encode(features, samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@given(data=st.data(), num_rows=st.integers(1, 60), differences=st.booleans())
def test_held_values_are_those_of_the_file(data, num_rows, differences, noise):
    features = Channels(kind="channels", missing="hold", differences=differences)
    encoder = features.encoder(features.learn_shape((2,), None, [5.0, -5.0]))
    rows = noise(2 * num_rows, num_rows).reshape(-1, 2)
    rows[noise(2 * num_rows, num_rows + 1).reshape(-1, 2) > 0] = np.nan
    cuts = data.draw(st.lists(st.integers(0, num_rows), max_size=30))
    found = feed(features, encoder, rows, cuts)
    np.testing.assert_array_equal(found, encoder.encode([Steps(rows)])[0])


@pytest.mark.parametrize("features", KINDS, ids=lambda f: f"{f.kind}-{f.window}-{f.deltas}")
def test_one_sample_at_a_time_and_all_at_once(features, noise):
    samples = noise(250, 1)
    expected = encode(features, samples)
    for cuts in (range(1, 250), []):
        found = feed(features, features, samples, cuts)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@settings(max_examples=3)
@given(cuts=st.lists(st.integers(0, 900), max_size=8), num_samples=st.integers(1, 900))
def test_spectral_descriptors_but_contrast_are_those_of_the_file(cuts, num_samples, noise):
    names = ("chroma", "centroid", "bandwidth", "rolloff", "flatness", "zero_crossings", "rms")
    features = Spectral(kind="spectral", descriptors=names, sample_rate=8000, window_ms=12.5)
    samples = noise(num_samples) + 0.05  # so that zeros beyond an end would cross it
    found = feed(features, features, samples, [min(cut, num_samples) for cut in cuts])
    np.testing.assert_allclose(found, encode(features, samples), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("features", "delay"), [(KINDS[0], 16), (KINDS[3], 16), (KINDS[1], 16)])
def test_a_step_comes_as_soon_as_nothing_can_change_it(features, delay, noise):
    """Half a window after its middle; with differences, after those of two more steps."""
    delay += 2 * features.hop * features.deltas
    stream, samples = stream_steps(features, features), noise(200)
    found = [len(stream.push(samples[place : place + 1])) for place in range(200)]
    expected = [int(n >= delay and (n - delay) % features.hop == 0) for n in range(1, 201)]
    assert found == expected


def test_memory_does_not_grow_with_the_signal(noise):
    features = KINDS[3]
    stream, samples = stream_steps(features, features), noise(4000)
    peaks = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(10 if not peaks else 100):
            stream.push(samples)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]  # and not 11 times


@pytest.mark.parametrize("differences", [False, True])
@given(cuts=st.lists(st.integers(0, 20), max_size=20))
def test_rows_are_those_of_the_file(differences, cuts):
    features = Channels(kind="channels", differences=differences)
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    encoder = features.encoder(features.learn([Steps(values)]))
    expected = encoder.encode([Steps(values)])[0]
    np.testing.assert_array_equal(feed(features, encoder, values, cuts), expected)


@pytest.mark.parametrize("features", [KINDS[0], KINDS[2]])
def test_a_signal_without_samples_is_empty(features):
    with pytest.raises(BadInput, match="empty"):
        stream_steps(features, features).finish()


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (LogMel(kind="log_mel", subtract_mean=True), "subtract_mean: false"),
        (Waveform(kind="waveform", trim_silence_db=30.0), "trim_silence_db: null"),
        (Spectral(kind="spectral"), "contrast"),
        (Channels(kind="channels", standardize="sequence"), "standardize: none"),
        (Channels(kind="channels", sample_rate=2.0, resample_rate=1.0), "resample_rate: null"),
        (Channels(kind="channels", missing="interpolate"), "missing: hold"),
        (Channels(kind="channels", missing="mask"), "missing: hold"),
        (Vectors(kind="vectors", layout="joints steps"), "layout"),
        (
            Vectors(kind="vectors", layout="steps joints coordinates",
                    skeleton=Skeleton(root_joint=0)),
            "skeleton",
        ),
        (Character(kind="character"), "character"),
        (FrameDifferences(kind="frame_differences"), "frame_differences"),
    ],
)  # fmt: skip
def test_what_needs_the_whole_signal_says_why(features, words):
    assert words in str(why_whole(features))


def test_what_can_stream_has_nothing_against_it():
    for features in [*KINDS, Channels(kind="channels", differences=True), Vectors(kind="vectors")]:
        assert why_whole(features) is None


def read_bytes(reader, content, cuts):
    bounds = [0, *sorted(cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(bounds)]
    return np.concatenate([*map(reader.push, pieces), reader.finish()])


SOUND = LogMel(kind="log_mel", sample_rate=8000)


def pcm_reader(features=SOUND, **options):
    return PcmReader(features, features, **options)


@pytest.mark.parametrize("pcm", ["s16le", "f32le"])
@given(cuts=st.lists(st.integers(0, 120), max_size=40), spare=st.integers(0, 1))
def test_samples_out_of_bytes_cut_anywhere(pcm, cuts, spare):
    integers = np.random.default_rng(0).integers(-32768, 32767, 30).astype("<i2")
    expected = integers.astype(np.float32) / 32768
    content = (integers if pcm == "s16le" else expected.astype("<f4")).tobytes()
    cuts = [min(cut, len(content)) for cut in cuts]
    found = read_bytes(pcm_reader(pcm=pcm), content + b"x" * spare, cuts)
    np.testing.assert_array_equal(found, expected)


def wav(samples, rate=8000, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV"} | options))
    return file.getvalue()


SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
def test_a_wav_is_known_by_its_first_bytes(noise, subtype, num_channels, format):
    content = wav(noise(100, num_channels=num_channels), format=format, subtype=subtype)
    expected = SOUND.read(content).samples
    trailed = content + b"LIST\4\0\0\0abcd"  # what follows is no sound
    for cuts in (range(1, len(content), 3), []):
        reader = pcm_reader()
        np.testing.assert_array_equal(read_bytes(reader, trailed, cuts), expected)
        assert not reader.notes


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_of_unknown_length_ends_where_it_ends(noise, size):
    content = wav(noise(100), subtype="PCM_16")
    place = content.index(b"data") + 4
    open_ended = content[:place] + size.to_bytes(4, "little") + content[place + 4 :]
    assert len(read_bytes(pcm_reader(), open_ended, [50])) == 100


@pytest.mark.parametrize(
    "content", [b"RI", b"RIFFabcdWAV", b"RIFFabcdWAVE"], ids=["two-bytes", "cut-header", "no-chunk"]
)
def test_a_wav_without_samples_is_no_signal(content):
    if content == b"RI":  # one sample
        assert len(read_bytes(pcm_reader(), content, [1])) == 1
    else:
        with pytest.raises(BadInput, match="truncated"):
            read_bytes(pcm_reader(), content, [3])


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100])
@pytest.mark.parametrize("num_samples", [1, 7, 1234, 5000])
def test_another_rate_is_resampled_as_in_files(noise, rate, num_samples):
    content = wav(noise(num_samples), rate, subtype="PCM_16")
    expected = SOUND.prepare_signal(SOUND.read(content))
    for cuts in (range(0, len(content), 333), []):
        found = read_bytes(pcm_reader(), content, cuts)
        np.testing.assert_array_equal(found, expected)
    integers = content[-2 * num_samples :]
    found = read_bytes(pcm_reader(pcm="s16le", raw_rate=rate), integers, [5])
    np.testing.assert_array_equal(found, expected)


def test_the_old_resampling_needs_whole_files(noise):
    old = SOUND.replace(signal_version=1)
    with pytest.raises(BadInput, match=r"16000 Hz.*convert like this"):
        content = wav(noise(9), 16000)
        read_bytes(pcm_reader(old, conversion="convert like this"), content, [])


def test_what_is_taken_for_granted_of_raw_samples_is_said(noise):
    reader = pcm_reader()
    read_bytes(reader, b"\1\0" * 90, [1])
    assert "16-bit integers of one channel at 8000 Hz" in reader.notes[0]
    reader = pcm_reader(pcm="s16le", raw_rate=4000)
    read_bytes(reader, b"\1\0" * 90, [1])
    assert reader.notes == ["resampled from 4000 Hz to 8000 Hz: nothing is above 2000 Hz"]


@pytest.mark.parametrize("name", ["FLAC", "OGG", "MP3", "AIFF", "AU", "RF64"])
def test_other_formats_are_refused_with_the_remedy(noise, name):
    content = wav(noise(4000), format=name)
    for cuts in ([], range(1, 40)):
        with pytest.raises(BadInput, match=rf"(?i){name}; a WAV or raw.*convert like this"):
            read_bytes(pcm_reader(conversion="convert like this"), content, cuts)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_an_mp3_without_a_tag_is_no_noise(noise, rate):
    content = wav(noise(8000), rate, format="MP3")
    assert content[:1] == b"\xff" and name_foreign(content[:HEAD_BYTES]) == "MP3"


def test_other_bytes_that_are_no_samples(noise):
    adts = bytes.fromhex("fff15080009ffc") + b"\0" * 70  # a frame of 4 bytes
    frame = bytes.fromhex("fff150800a1ffc") + b"\0" * 73  # of 80 bytes
    for content, name in (
        (frame + frame, "AAC"),
        (b"\0\0\0\x20ftypisom" + b"\0" * 90, "MP4"),
        ((b"G" + b"\0" * 187) * 3, "MPEG-TS"),
        (b"hello world, this is text\n", "text"),
    ):
        assert name_foreign(content) == name
    assert name_foreign(adts) is None
    with pytest.raises(BadInput, match="text, where"):
        read_bytes(pcm_reader(), b"time,x\n0,1\n", [])
    with pytest.raises(BadInput, match="RIFF AVI"):
        read_bytes(pcm_reader(), b"RIFF\0\0\0\0AVI LIST" + b"\0" * 90, [])
    silent = np.full(4000, -1, "<i2").tobytes()  # bytes of ones, as where a frame begins
    for content in (noise(4000).astype("<f4").tobytes(), silent, b"\0" * 900):
        assert name_foreign(content) is None


TABLES = {
    "plain": b"1,2\n3,4.5\n-1,1e-3\n",
    "header": b"x,y\n1,2\n3,4.5\n-1,1e-3",
    "comments": b"\xef\xbb\xbf# a table\n\nx;y\r\n1;2\r\n# between\r\n3;4.5\r\n-1;1e-3\r\n",
    "spaces": b"1 2\n3   4.5\n-1 1e-3\n\n",
    "tabs": b"1\t2\n3\t4.5\n-1\t1e-3",
}


@pytest.mark.parametrize("name", TABLES)
@given(cuts=st.lists(st.integers(0, 70), max_size=9), header=st.sampled_from([None, True, False]))
def test_rows_out_of_lines_cut_anywhere(name, cuts, header):
    features = Channels(kind="channels", header=header if name != "plain" else None)
    if name in ("header", "comments") and header is False:
        return
    content = TABLES[name]
    expected = features.read(content)
    encoder = features.encoder(features.learn([expected]))
    cuts = [min(cut, len(content)) for cut in cuts]
    found = read_bytes(TableReader(features, encoder), content, cuts)
    np.testing.assert_array_equal(found, expected.values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1,2\n3,4,5\n", "wrong shape|expected 2 values"),
        (b"x,y\n1,2\n3,oops\n", "not a number|is not a number"),
        (b"a,b\n1,2\n", "no column 'x', 'y'; found a, b"),
        (b"x,y\n1,2\n3,\n", "not finite"),
        (b"1\n", "expected 2 values"),
    ],
    ids=["ragged", "no-number", "other-columns", "missing", "too-few-columns"],
)
def test_rows_that_the_file_would_be_refused_for_are_refused(content, words):
    features = Channels(kind="channels")
    encoder = features.encoder(features.learn([features.read(b"x,y\n1,2\n")]))
    for cuts in ([], range(1, len(content))):
        with pytest.raises(BadInput, match=words):
            read_bytes(TableReader(features, encoder), content, cuts)


@pytest.mark.parametrize("at_once", [7, 1 << 20])
@pytest.mark.parametrize("row", [b"5,oops", b"5,"])
def test_a_refused_row_is_named_by_its_line_in_the_signal(at_once, row):
    features = Channels(kind="channels")
    encoder = features.encoder(features.learn([features.read(b"x,y\n1,2\n")]))
    content = b"# log\nx,y\n" + b"1,2\n" * 30 + row + b"\n" + b"1,2\n" * 9
    with pytest.raises(BadInput, match="line 33") as refused:
        read_bytes(TableReader(features, encoder), content, range(at_once, len(content), at_once))
    with pytest.raises(BadInput) as of_file:
        encoder.select(features.read(content))
    if row == b"5,":
        assert "step 30" in str(refused.value) and "step 30" in str(of_file.value)
    assert refused.value.place == of_file.value.place == (33, None, ANY, "line")


def test_only_the_places_in_a_refusal_are_moved():
    features = Channels(kind="channels")
    encoder = features.encoder(features.learn([features.read(b"x,y\n1,2\n")]))
    content = b"x,y\n" + b"1,2\n" * 30 + b"5,6,line 7\n"
    with pytest.raises(
        BadInput, match="line 32 has 3 values, line 1 names 2 columns: 'line 7'"
    ) as refused:
        read_bytes(TableReader(features, encoder), content, range(8, len(content), 8))
    assert pickle.loads(pickle.dumps(refused.value)).place == Place(32)


@pytest.mark.parametrize("cut", range(1, 50))
def test_titles_units_and_decimal_commas_in_pieces(cut):
    content = b"A title\n\nx;y;time\n[V];g;s\n1;2;0\n3;4,5;1\n-1;0,001;2\n"
    features = Channels.parse({"kind": "channels"})
    raw = features.read(content)
    encoder = features.encoder(features.learn([raw]))
    found = read_bytes(TableReader(features, encoder), content, [cut])
    np.testing.assert_array_equal(found, encoder.select(raw))


@pytest.mark.parametrize("at_once", [9, 1 << 20])
def test_how_a_table_is_read_is_said_once(at_once):
    features = Channels(kind="channels", sample_rate=10.0)
    rows = [(row / 5, row % 7, -(row % 3)) for row in range(60)]
    encoder = features.encoder(features.learn([features.read(b"x,y\n1,2\n3,4\n")]))
    content = b"time_s,y,x\n" + b"".join(b"%g,%g,%g\n" % row for row in rows)
    reader = TableReader(features, encoder)
    found = read_bytes(reader, content, range(at_once, len(content), at_once))
    np.testing.assert_array_equal(found, [(x, y) for _, y, x in rows])
    assert len(reader.notes) == len(set(reader.notes)) == 3
    for words in ("'time_s' is rising time", "another order", "the times give 5 Hz"):
        assert any(words in note for note in reader.notes)


@pytest.mark.parametrize("at_once", [5, 33, 1 << 20])
@pytest.mark.parametrize("between", ["", "time_s,x\n", "\n"], ids=["rows", "names", "gap"])
def test_rows_behind_a_fall_of_times_are_another_signal(at_once, between):
    features = Channels(kind="channels")
    encoder = features.encoder(features.learn([features.read(b"x\n1\n2\n")]))
    first, second = range(40), range(100, 130)
    lines = [*(f"{0.5 * k},{x}\n" for k, x in enumerate(first)), between]
    lines += [f"{0.5 * k},{x}\n" for k, x in enumerate(second)]
    content = ("time_s,x\n" + "".join(lines)).encode()
    reader, signals = TableReader(features, encoder), [[]]
    pieces = [content[at : at + at_once] for at in range(0, len(content), at_once)]
    for decode in (*(partial(reader.push, piece) for piece in pieces), reader.finish):
        signals[-1] += decode()[:, 0].tolist()
        while reader.restarts:
            assert re.search(r"the times begin anew in line 4[23]", reader.restarts.pop())
            again = reader.finish if decode == reader.finish else partial(reader.push, b"")
            signals.append(again()[:, 0].tolist())
    assert signals == [[*first], [*second]]
