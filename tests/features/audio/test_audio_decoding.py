import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqbelt.errors import (
    EMPTY,
    NOT_FINITE,
    SILENT,
    TOO_LONG,
    TRUNCATED,
    UNREADABLE,
    WRONG_TYPE,
    BadInput,
)
from seqbelt.features.audio.audio_decoding import check_samples, decode_audio

RATE = 8000


def encode_pyav(samples: np.ndarray, rate: int = 16_000, format: str = "mp4") -> bytes:
    """``samples`` ``(channels, samples)`` as AAC."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = "mono" if len(samples) == 1 else "stereo"
        stream.bit_rate = 128_000
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=stream.layout.name)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def tone(num_samples: int = 16_000, rate: int = 16_000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / rate)).astype(np.float32)


def reason(source: bytes | Path, max_duration_s: float = 100.0) -> str:
    with pytest.raises(BadInput) as error:
        decode_audio(source, max_duration_s)
    assert str(error.value).startswith(error.value.reason)
    return error.value.reason


def streamed(wav: bytes, size: int) -> bytes:
    """A WAV as a recorder that streams leaves it: both sizes never filled in."""
    place = wav.index(b"data") + 4
    length = struct.pack("<I", size)
    return wav[:4] + length + wav[8:place] + length + wav[place + 4 :]


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"format": "WAV", "subtype": "FLOAT"}, 0),
        ({"format": "WAV", "subtype": "PCM_16"}, 2**-15),
        ({"format": "WAV", "subtype": "PCM_24"}, 2**-23),
        ({"format": "FLAC"}, 2**-15),
        ({"format": "OGG"}, 0.05),
        ({"format": "MP3"}, 0.05),
    ],
    ids=str,
)
def test_a_recording_decodes_to_its_samples(wav_bytes, options, tolerance):
    audio = decode_audio(wav_bytes(tone(), 16_000, **options), 100)
    assert audio.sample_rate == 16_000
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (16_000,)
    np.testing.assert_allclose(audio.samples, tone(), atol=tolerance)


@pytest.mark.parametrize("format", ["mp4", "adts"])
def test_aac_decodes_through_pyav(format):
    audio = decode_audio(encode_pyav(tone()[None], format=format), 100)
    assert audio.sample_rate == 16_000
    middle = audio.samples[4000:12_000]
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum.argmax() == 440 * len(middle) / 16_000
    assert np.abs(middle).max() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("num_channels", [2, 3, 8])
def test_channels_are_mixed_to_their_mean(wav_bytes, noise, num_channels):
    samples = noise(500, num_channels=num_channels)
    audio = decode_audio(wav_bytes(samples, subtype="FLOAT"), 100)
    np.testing.assert_allclose(audio.samples, samples.mean(axis=1), atol=1e-6)


def test_a_channel_without_a_signal_is_said(wav_bytes):
    dead = np.stack([tone(), 0 * tone()])
    for content in (wav_bytes(dead.T), encode_pyav(dead)):
        (said,) = decode_audio(content, 100).notes
        assert said == (
            "1 of 2 channels without a signal: the mean of all is 6 dB quieter than the others"
        )
    for content in (wav_bytes(np.stack([tone()] * 2).T), encode_pyav(tone()[None])):
        assert decode_audio(content, 100).notes == ()


@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (1.0, 0.0), (0.2, 1.0)])
def test_compressed_channels_are_mixed_to_their_mean(left, right):
    audio = decode_audio(encode_pyav(np.stack([left * tone(), right * tone()])), 100)
    found = np.abs(audio.samples[4000:12_000]).max()
    assert found == pytest.approx(0.3 * (left + right) / 2, rel=0.05)


def test_every_cut_of_a_wav_is_refused(wav_bytes, noise):
    whole = wav_bytes(noise(200))
    reasons = [reason(whole[:stop]) for stop in range(len(whole))]
    assert reasons[0] == EMPTY
    assert set(reasons[1:12]) == {WRONG_TYPE}
    assert set(reasons[12:]) == {TRUNCATED}
    assert len(decode_audio(whole, 100).samples) == 200


def test_a_wav_cut_in_a_chunk_before_its_samples_is_truncated(wav_bytes, noise):
    whole = wav_bytes(noise(200))
    listed = whole[:12] + b"LIST" + struct.pack("<I", 7) + b"INFOabc\0" + whole[12:]
    assert len(decode_audio(listed, 100).samples) == 200  # odd chunks are padded to an even size
    assert reason(listed[:22]) == TRUNCATED


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_cut_flac_is_refused(wav_bytes, noise, share):
    whole = wav_bytes(noise(20_000), format="FLAC")
    assert reason(whole[: int(share * len(whole))])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF * 2])
def test_a_streamed_wav_whose_size_was_never_filled_in_is_whole(wav_bytes, noise, size):
    samples = noise(300)
    audio = decode_audio(streamed(wav_bytes(samples), size), 100)
    np.testing.assert_allclose(audio.samples, samples, atol=2**-15)


def test_a_wav_without_samples_but_with_further_chunks_is_empty(wav_bytes):
    nothing = wav_bytes(np.zeros(0, np.float32))
    nothing = nothing[: nothing.index(b"data")] + b"data\0\0\0\0"
    assert reason(nothing) == EMPTY
    assert reason(nothing + b"LIST\x04\0\0\0INFO") == EMPTY


@pytest.mark.parametrize("peak", [0.0, 0.5e-4])
def test_a_recording_below_80_db_is_silent(wav_bytes, peak):
    samples = np.full(300, peak, np.float32)
    assert reason(wav_bytes(samples, subtype="FLOAT")) == SILENT


def test_a_faint_recording_is_not_silent(wav_bytes):
    assert decode_audio(wav_bytes(np.full(300, 2e-4, np.float32), subtype="FLOAT"), 100)


def test_opposite_channels_cancel_to_silence(wav_bytes, noise):
    samples = noise(300)
    with pytest.raises(BadInput, match="silent: its channels are each other's opposite") as caught:
        decode_audio(wav_bytes(np.stack([samples, -samples], 1), subtype="FLOAT"), 100)
    assert caught.value.reason == SILENT


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_sample_that_is_no_number_is_refused(wav_bytes, noise, value):
    samples = noise(300)
    samples[7] = value
    assert reason(wav_bytes(samples, subtype="FLOAT")) == NOT_FINITE
    with pytest.raises(BadInput, match=NOT_FINITE):
        check_samples(samples, RATE, 100)


@pytest.mark.parametrize("options", [{"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG"}])
def test_too_long_is_refused_and_the_limit_itself_is_not(wav_bytes, noise, options):
    whole = wav_bytes(noise(RATE), **options)
    assert reason(whole, max_duration_s=0.999) == TOO_LONG
    assert len(decode_audio(whole, 1.0).samples) == RATE


def test_too_long_is_refused_through_pyav():
    assert reason(encode_pyav(tone()[None]), max_duration_s=0.5) == TOO_LONG


def test_media_without_audio_is_of_the_wrong_type():
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            container.mux(packet)
    assert reason(file.getvalue()) == WRONG_TYPE


def test_a_text_named_wav_is_of_the_wrong_type(tmp_path):
    (tmp_path / "note.wav").write_text("not a recording\n" * 20)
    assert reason(tmp_path / "note.wav") == WRONG_TYPE


def test_a_content_that_names_addresses_opens_none():
    session = (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    )
    with pytest.raises(BadInput, match="Invalid data"):  # not a time limit of the network
        decode_audio(session, 100.0)


def test_what_cannot_be_read_says_so(tmp_path):
    assert reason(tmp_path) == WRONG_TYPE  # a folder
    assert reason(tmp_path / "none.wav") == UNREADABLE
    assert reason(tmp_path / "a\0b.wav") == UNREADABLE
    (tmp_path / "self.wav").symlink_to("self.wav")
    assert reason(tmp_path / "self.wav") == UNREADABLE
    (tmp_path / "empty.wav").touch()
    assert reason(tmp_path / "empty.wav") == EMPTY


@given(st.binary(max_size=3000), st.sampled_from([b"", b"RIFF____WAVE", b"fLaC", b"OggS", b"ID3"]))
def test_any_bytes_are_decoded_or_refused_and_nothing_else(content, start):
    try:
        audio = decode_audio(start + content, 100)
    except BadInput:
        return
    assert audio.samples.ndim == 1
    assert np.isfinite(audio.samples).all()


def test_ready_samples_are_checked_as_a_file_is(noise):
    assert check_samples(noise(100, num_channels=2), RATE, 1).samples.shape == (100,)
    for bad in (np.zeros(0, np.float32), np.zeros((0, 2), np.float32), np.zeros((2, 2, 2))):
        with pytest.raises(BadInput, match=EMPTY):
            check_samples(bad, RATE, 1)
