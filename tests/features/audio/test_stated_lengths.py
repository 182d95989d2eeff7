"""Recordings whose containers state their length: whole ones are read, shorter ones refused."""

import io
import struct
from fractions import Fraction

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


@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
     ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_recordings_one_after_the_other_are_refused(file_format, subtype):
    """A decoder would read the first and leave the others out."""
    content = write(file_format, subtype)
    with pytest.raises(BadInput, match="split it"):
        decode_audio(content + content, 60)


def test_recordings_in_a_media_file_one_after_the_other_are_refused():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.float32(TONE)[None], "fltp", "mono")
        frame.rate = 8000
        output.mux([*stream.encode(frame), *stream.encode()])
    assert len(decode_audio(file.getvalue(), 60).samples) > 16_000
    with pytest.raises(BadInput, match="split it"):
        decode_audio(2 * file.getvalue(), 60)


@pytest.mark.parametrize(("file_format", "at", "form"), [("WAV", 40, "<I"), ("AU", 8, ">I")])
def test_a_length_that_is_too_short_for_what_is_there_is_refused(file_format, at, form):
    content = write(file_format, "PCM_16")
    with pytest.raises(BadInput, match="states 800 bytes of samples, and 32000 are there"):
        decode_audio(content[:at] + struct.pack(form, 800) + content[at + 4 :], 60)


@pytest.mark.parametrize(
    "behind", [b"LIST\x04\0\0\0INFO" * 100, b"ID3\x03" + bytes(2000), bytes(4000)]
)
def test_chunks_tags_and_padding_behind_the_samples_are_left_alone(behind):
    content = write("WAV", "PCM_16")
    assert len(decode_audio(content + behind, 60).samples) == 16_000


def test_a_header_that_contradicts_itself_is_refused():
    content = write("WAV", "PCM_16")
    with pytest.raises(BadInput, match="1 x 24 bits in a step of 2 bytes"):
        decode_audio(content[:34] + struct.pack("<H", 24) + content[36:], 60)


def test_samples_in_a_format_that_nobody_knows_are_refused():
    content = write("WAV", "PCM_16")
    with pytest.raises(BadInput, match="not known"):
        decode_audio(
            content[:20] + struct.pack("<HHIIHH", 3, 1, 8000, 16_000, 2, 16) + content[36:], 60
        )


def test_a_flac_that_states_no_length_is_read_to_its_end():
    content = write("FLAC", "PCM_16")
    content = content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:]
    assert len(decode_audio(content, 60).samples) == 16_000


def test_an_mp3_that_lost_frames_in_its_middle_is_refused():
    content = write("MP3", "MPEG_LAYER_III")
    middle = len(content) // 2
    noise = np.random.default_rng(0).bytes(1000)
    with pytest.raises(BadInput, match="of 16000 samples are there"):
        decode_audio(content[:middle] + noise + content[middle + 1000 :], 60)


def matroska(
    *signals: np.ndarray, starts_s: float = 0.0, pause_s: float = 0.0, codec: str = "pcm_s16le"
) -> bytes:
    """A track of each signal, from ``starts_s`` on, with a pause in its middle."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        tracks = [output.add_stream(codec, rate=8000, layout="mono") for _ in signals]
        for signal, track in zip(signals, tracks, strict=True):
            for begin in range(0, len(signal), 1000):
                piece = np.int16(signal[None, begin : begin + 1000] * 32767)
                frame = av.AudioFrame.from_ndarray(piece, "s16", "mono")
                frame.rate, frame.time_base = 8000, Fraction(1, 8000)
                pause = pause_s if begin >= len(signal) // 2 else 0.0
                frame.pts = begin + round(8000 * (starts_s + pause))
                output.mux([*track.encode(frame)])
            output.mux([*track.encode(None)])
    return file.getvalue()


def test_a_recording_whose_times_do_not_begin_at_0_is_whole():
    """As pieces of a live stream are, whose length Matroska counts from 0."""
    content = matroska(TONE, starts_s=10)
    assert len(decode_audio(content, 60).samples) == 16_000
    with pytest.raises(BadInput, match=r"of 2\.0 s are there"):
        decode_audio(content[: len(content) * 6 // 10], 60)


def test_what_an_encoder_adds_at_the_ends_does_not_count_as_missing():
    content = matroska(TONE[:2384], codec="mp3")  # 0.3 s of sound in 0.43 s of frames
    assert len(decode_audio(content, 60).samples) == pytest.approx(2384, abs=1152)


def test_a_pause_and_a_second_track_are_said():
    assert decode_audio(matroska(TONE), 60).notes == ()
    (said,) = decode_audio(matroska(TONE, pause_s=3), 60).notes
    assert "the times have gaps" in said
    audio = decode_audio(matroska(TONE, NOISE), 60)
    assert audio.peak > 0.25
    assert audio.notes == ("the first of 2 audio tracks is read",)


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "AIFF"])
def test_a_tag_in_front_of_a_recording_hides_neither_samples_nor_faults(file_format):
    tagged = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + write(file_format, "PCM_16")
    assert len(decode_audio(tagged, 60).samples) == 16_000
    with pytest.raises(BadInput) as caught:
        decode_audio(tagged[: len(tagged) * 9 // 10], 60)
    assert caught.value.reason == "truncated"


def test_short_mp3s_one_after_the_other_are_refused():
    file = io.BytesIO()
    soundfile.write(file, TONE[:3000], 8000, format="MP3")
    assert len(file.getvalue()) < 4000
    with pytest.raises(BadInput, match="split it"):
        decode_audio(2 * file.getvalue(), 60)
