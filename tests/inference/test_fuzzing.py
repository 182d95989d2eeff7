"""Broken content of every kind: an answer or a reason, no crash, no hang, no harm to neighbours.

Seeded. ``SEQBELT_FUZZ_INPUTS=1000`` tries a thousand of each kind.
"""

import faulthandler
import io
import os
import resource
import sys

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
import soundfile
import torch

from seqbelt.errors import BadInput
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Character
from seqbelt.features.video.video import FrameDifferences
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Prediction, Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model

NUM_INPUTS = int(os.environ.get("SEQBELT_FUZZ_INPUTS", "60"))
HANG_S = 60
MORE_MEMORY_KB = 700_000
HEADERS = [b"RIFF\xff\xff\xff\x7fWAVEfmt ", b"fLaC", b"OggS\0\2", b"ID3\4", b"\x93NUMPY\1\0v\0",
           b"PK\3\4", b"MATLAB 5.0 MAT-file", b"PAR1", b"\x89HDF\r\n\x1a\n", b"\x80\4.", b"\0" * 16,
           b"GIF89a\xff\xff\xff\xff", b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftypmp42"]  # fmt: skip
HUGE = [0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0x40000000, 0, 1]
VALUES = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)


def write(save, *arguments, **options) -> bytes:
    file = io.BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


def sound(format: str, subtype: str | None = None) -> bytes:
    samples = np.random.default_rng(1).normal(0, 0.1, (3000, 2))
    return write(lambda file: soundfile.write(file, samples, 8000, subtype, format=format))


def clip() -> bytes:
    file, random = io.BytesIO(), np.random.default_rng(2)
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (32, 32, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def table() -> bytes:
    return b"x,y\n" + b"".join(b"%.3f,%.3f\n" % tuple(row) for row in VALUES)


def parquet() -> bytes:
    columns = pa.table({"x": VALUES[:, 0], "y": VALUES[:, 1]})
    return write(lambda file: pq.write_table(columns, file))


def tensor() -> bytes:
    return write(lambda file: torch.save(torch.tensor(VALUES), file))


SOUND = LogMel(kind="log_mel", sample_rate=8000, num_bands=8)
KINDS = {
    "wav": (SOUND, lambda: sound("WAV")),
    "wav 24 bit": (SOUND, lambda: sound("WAV", "PCM_24")),
    "flac": (SOUND, lambda: sound("FLAC")),
    "ogg": (SOUND, lambda: sound("OGG", "VORBIS")),
    "mp3": (SOUND, lambda: sound("MP3")),
    "text": (Character(kind="character", min_count=1), lambda: "Sätze, 한국어 😀. ".encode() * 9),
    "csv": (Channels(kind="channels"), table),
    "npy": (Channels(kind="channels"), lambda: write(np.save, VALUES)),
    "npz": (Channels(kind="channels"), lambda: write(np.savez_compressed, x=VALUES)),
    "mat": (Channels(kind="channels"), lambda: write(scipy.io.savemat, {"x": VALUES})),
    "parquet": (
        Channels(kind="channels"),
        lambda: write(
            lambda file: pq.write_table(pa.table({"x": VALUES[:, 0], "y": VALUES[:, 1]}), file)
        ),
    ),
    "pt": (
        Channels(kind="channels"),
        lambda: write(lambda file: torch.save(torch.tensor(VALUES), file)),
    ),
    "avi": (FrameDifferences(kind="frame_differences"), clip),
}


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """One way of breaking a file."""
    data = bytearray(content)
    way = random.integers(6)
    if way == 0:
        for place in random.integers(0, len(data), random.integers(1, 50)):
            data[place] ^= 1 << random.integers(8)
    elif way == 1:
        del data[random.integers(0, len(data)) :]
    elif way == 2:
        header = HEADERS[random.integers(len(HEADERS))]
        data[: len(header)] = header
    elif way == 3:  # a declared size, wherever one may stand
        place = int(random.integers(0, min(len(data), 256) - 8))
        order = ("little", "big")[random.integers(2)]
        data[place : place + 4] = HUGE[random.integers(len(HUGE))].to_bytes(4, order)
    elif way == 4:
        start, stop = np.sort(random.integers(0, len(data), 2))
        data[start:start] = data[start:stop]
    else:
        start, stop = np.sort(random.integers(0, len(data), 2))
        data[start:stop] = random.bytes(int(stop - start))
    return bytes(data)


def make(features, good: bytes) -> Predictor:
    torch.manual_seed(0)
    learned = features.learn([features.read(good)])
    width = features.encoder(learned).num_features
    model = Model(cell="gru", hidden_size=4, layout="padded")
    network = build_network(model, width, 2, features.is_tokens)
    return Predictor(
        Bundle("t", features, learned, model, ("a", "b"), width, weights_of(network), {}), "cpu"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # parsers may warn of what they then refuse
def test_broken_content_harms_nobody(kind):
    features, write_good = KINDS[kind]
    good, random = write_good(), np.random.default_rng(0)
    predictor = make(features, good)
    (expected,) = predictor.predict([(0, good)])
    assert isinstance(expected.probabilities, np.ndarray)
    sources = [good if n % 10 == 0 else mutate(good, random) for n in range(NUM_INPUTS)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    faulthandler.dump_traceback_later(HANG_S + NUM_INPUTS, exit=True, file=sys.__stderr__)
    try:
        answers = list(predictor.predict(enumerate(sources)))
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MORE_MEMORY_KB
    assert [answer.index for answer in answers] == list(range(NUM_INPUTS))
    for answer in answers:
        assert isinstance(answer, Prediction)
        if answer.index % 10 == 0:
            np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-5)
        elif not isinstance(answer.probabilities, BadInput):
            assert answer.num_steps >= 1 and np.isfinite(answer.probabilities).all()
    reasons = {a.probabilities.reason for a in answers if isinstance(a.probabilities, BadInput)}
    assert reasons  # that some are refused shows that they were broken
