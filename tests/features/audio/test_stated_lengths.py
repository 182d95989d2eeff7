"""Recordings whose containers state their length: whole ones are read, shorter ones refused."""

import io

import av
import numpy as np
import pytest
import soundfile

from seqbelt.errors import BadInput
from seqbelt.features.audio.audio_decoding import decode_audio

TONE = 0.3 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 8000)
NOISE = 0.01 * np.random.default_rng(0).standard_normal(16_000)
FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "GSM610"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("CAF", "ALAC_16"),
    ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16"),
]  # fmt: skip


def write(file_format: str, subtype: str, num_channels: int = 1) -> bytes:
    file = io.BytesIO()
    signal = np.repeat((TONE + NOISE)[:, None], num_channels, axis=1)
    soundfile.write(file, signal, 8000, format=file_format, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_a_whole_recording_is_read(file_format, subtype):
    audio = decode_audio(write(file_format, subtype), 60)
    assert (len(audio.samples), audio.sample_rate) == (16_000, 8000)


@pytest.mark.parametrize("percent", [20, 50, 90])
@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_a_recording_cut_short_is_refused(file_format, subtype, percent):
    content = write(file_format, subtype)
    with pytest.raises(BadInput) as caught:
        decode_audio(content[: len(content) * percent // 100], 60)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(("subtype", "num_channels"), [("PCM_S8", 1), ("PCM_16", 2), ("PCM_24", 2)])
def test_flac_has_the_samples_that_were_written(subtype, num_channels):
    content = write("FLAC", subtype, num_channels)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        expected = file.read(dtype="float32", always_2d=True).mean(axis=1, dtype=np.float32)
    assert np.array_equal(decode_audio(content, 60).samples, expected)


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_bit_in_a_flac_is_noticed(seed):
    content = bytearray(write("FLAC", "PCM_16"))
    random = np.random.default_rng(seed)
    content[int(random.integers(len(content) // 2, len(content)))] ^= 1 << int(random.integers(8))
    with pytest.raises(BadInput, match="damaged"):
        decode_audio(bytes(content), 60)


def test_a_stream_of_open_size_is_whole():
    content = write("AU", "PCM_16")
    audio = decode_audio(content[:8] + b"\xff\xff\xff\xff" + content[12:], 60)
    assert len(audio.samples) == 16_000


@pytest.mark.parametrize("percent", [50, 90])
@pytest.mark.parametrize(
    ("container", "codec"), [("webm", "libopus"), ("mp4", "aac"), ("avi", "pcm_s16le")]
)
def test_a_media_file_cut_short_is_refused(container, codec, percent):
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        signal = np.tile(TONE + NOISE, 6)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(signal, "fltp", "mono")
        frame.sample_rate = 48_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    content = file.getvalue()
    assert decode_audio(content, 60).sample_rate == 48_000
    with pytest.raises(BadInput) as caught:
        decode_audio(content[: len(content) * percent // 100], 60)
    assert caught.value.reason == "truncated"
