import sys
from fractions import Fraction

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.audio import audio
from seqbelt.features.audio.audio import AudioFeatures, LogMel, Mfcc
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.kinds import AnyFeatures, parse_stored
from seqbelt.settings import Settings

RATE, HOP = 8000, 80
KINDS = ("log_mel", "mfcc", "spectral", "waveform")


def features(kind: str, **settings) -> AudioFeatures:
    return TypeAdapter(AnyFeatures).validate_python(
        {"kind": kind, "sample_rate": RATE, "window_ms": 25, "hop_ms": 10} | settings
    )


def encode(kind: str, samples: np.ndarray, sample_rate: int = RATE, **settings) -> np.ndarray:
    (steps,) = features(kind, **settings).encode([Audio(samples, sample_rate)])
    return steps


def sweep(num_samples: int, rate: int = RATE) -> np.ndarray:
    """A tone that rises through the band over noise: energy in every band at some time."""
    place = np.arange(num_samples)
    phase = 2 * np.pi * (100 + 0.4 * rate * place / num_samples / 2) * place / rate
    hiss = np.random.default_rng(0).normal(0, 0.01, num_samples)
    return (0.4 * np.sin(phase) + hiss).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_samples", "num_steps"),
    [
        (1, 1), (2, 1), (HOP - 1, 1), (HOP, 2), (HOP + 1, 2), (2 * HOP - 1, 2), (2 * HOP, 3),
        (199, 3), (200, 3), (201, 3), (511, 7), (512, 7), (513, 7), (1000, 13),
    ],
)  # fmt: skip
def test_a_recording_gives_one_step_and_one_for_each_whole_hop(kind, num_samples, num_steps):
    steps = encode(kind, sweep(num_samples))
    assert steps.shape == (num_steps, features(kind).num_features)
    assert steps.dtype == np.float32
    assert np.isfinite(steps).all()
    assert features(kind).num_steps(num_samples) == num_steps


@given(
    num_samples=st.integers(1, 3000),
    hop_ms=st.floats(0.5, 40),
    window_ms=st.floats(0.5, 60),
    deltas=st.integers(0, 2),
)
def test_the_step_count_is_the_formula_for_any_framing(num_samples, hop_ms, window_ms, deltas):
    chosen = features("waveform", hop_ms=hop_ms, window_ms=window_ms, deltas=deltas)
    (steps,) = chosen.encode([Audio(sweep(num_samples), RATE)])
    hop = max(1, round(hop_ms * RATE / 1000))
    assert steps.shape == (1 + num_samples // hop, chosen.num_features)
    assert chosen.step_s() == hop / RATE


def test_log_mel_agrees_with_librosa():
    samples = sweep(4321)
    energies = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=256, win_length=200, hop_length=HOP, n_mels=40, center=True,
        pad_mode="constant", fmin=50, fmax=3500,
    )  # fmt: skip
    oracle = librosa.power_to_db(energies, amin=1e-10, top_db=None).T
    found = encode("log_mel", samples, min_frequency=50.0, max_frequency=3500.0)
    np.testing.assert_allclose(found, oracle, atol=2e-3)


def test_mfcc_agrees_with_librosa():
    samples = sweep(4321)
    energies = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=256, win_length=200, hop_length=HOP, n_mels=40, center=True,
        pad_mode="constant",
    )  # fmt: skip
    decibels = librosa.power_to_db(energies, amin=1e-10, top_db=None)
    oracle = librosa.feature.mfcc(S=decibels, n_mfcc=13).T
    np.testing.assert_allclose(encode("mfcc", samples, num_coefficients=13), oracle, atol=5e-3)


ORACLES = {
    "chroma": lambda y, s, k: librosa.feature.chroma_stft(S=s**2, sr=RATE, tuning=0.0, **k),
    "contrast": lambda y, s, k: librosa.feature.spectral_contrast(S=s, sr=RATE, n_bands=4, **k),
    "centroid": lambda y, s, k: librosa.feature.spectral_centroid(S=s, sr=RATE, **k),
    "bandwidth": lambda y, s, k: librosa.feature.spectral_bandwidth(S=s, sr=RATE, **k),
    "rolloff": lambda y, s, k: librosa.feature.spectral_rolloff(S=s, sr=RATE, **k),
    "flatness": lambda y, s, k: librosa.feature.spectral_flatness(S=s),
    "zero_crossings": lambda y, s, k: librosa.feature.zero_crossing_rate(
        y, frame_length=256, hop_length=HOP
    ),
    "rms": lambda y, s, k: librosa.feature.rms(S=s, frame_length=256),
}


@pytest.mark.parametrize("name", ORACLES)
def test_spectral_descriptors_agree_with_librosa(name):
    samples = sweep(4321)
    spectrum = np.abs(librosa.stft(samples, n_fft=256, win_length=200, hop_length=HOP))
    oracle = ORACLES[name](samples, spectrum, {"n_fft": 256, "hop_length": HOP}).T
    found = encode("spectral", samples, descriptors=(name,))
    np.testing.assert_allclose(found, oracle, rtol=1e-4, atol=1e-5)


def test_descriptors_stand_in_the_order_of_the_settings():
    samples = sweep(2000)
    alone = [encode("spectral", samples, descriptors=(name,)) for name in ("rms", "chroma")]
    together = encode("spectral", samples, descriptors=("rms", "chroma"))
    np.testing.assert_array_equal(together, np.hstack(alone))


def test_a_waveform_step_is_the_samples_around_its_centre():
    samples = sweep(1000)
    steps = encode("waveform", samples)
    padded = np.concatenate([np.zeros(100), samples, np.zeros(200)])
    for step in range(len(steps)):
        np.testing.assert_array_equal(steps[step], padded[step * HOP : step * HOP + 200])


@pytest.mark.parametrize("from_rate", [4000, 7350, 11_025, 16_000, 44_100, 48_000])
def test_resampling_keeps_what_both_rates_can_hold(from_rate):
    seconds, tone_hz = 0.5, 1000.0
    time = np.arange(int(seconds * from_rate)) / from_rate
    samples = np.sin(2 * np.pi * tone_hz * time).astype(np.float32)
    steps = encode("waveform", samples, from_rate, window_ms=0.125, hop_ms=0.125)
    found = steps[:-1, 0]
    assert len(found) == pytest.approx(seconds * RATE, abs=1)
    expected = np.sin(2 * np.pi * tone_hz * np.arange(len(found)) / RATE)
    np.testing.assert_allclose(found[400:-400], expected[400:-400], atol=0.02)


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    time = np.arange(24_000) / 48_000
    samples = np.sin(2 * np.pi * 7000 * time).astype(np.float32)
    steps = encode("waveform", samples, 48_000, window_ms=0.125, hop_ms=0.125)
    assert np.abs(steps[400:-400]).max() < 0.01


@pytest.mark.parametrize("num_channels", [1, 2, 5])
@pytest.mark.parametrize("rate", [6000, 22_050])
def test_any_rate_and_channel_count_is_read(wav_bytes, noise, num_channels, rate):
    chosen = features("log_mel")
    content = wav_bytes(noise(rate // 2, num_channels=num_channels), rate)
    (steps,) = chosen.encode([chosen.read(content)])
    assert steps.shape == (51, 40)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings", [{}, {"deltas": 2, "subtract_mean": True, "trim_silence_db": 30.0}], ids=str
)
def test_a_recording_alone_gives_what_it_gives_in_any_batch_and_order(kind, settings):
    random = np.random.default_rng(0)
    audios = [Audio(sweep(int(n)), RATE) for n in random.integers(1, 6000, 40)]
    audios += [Audio(np.sin(np.arange(n) * 0.3).astype(np.float32), 11_025) for n in (90, 4000)]
    if kind == "spectral":
        audios = audios[::4]
    atol = 1e-4 if kind == "mfcc" else 1e-5  # a coefficient is a sum of forty decibels
    chosen = features(kind, **settings)
    together = chosen.encode(audios)
    order = random.permutation(len(audios))
    shuffled = chosen.encode([audios[index] for index in order])
    for index, steps in enumerate(together):
        (alone,) = chosen.encode([audios[index]])
        np.testing.assert_allclose(steps, alone, atol=atol)
        np.testing.assert_allclose(shuffled[list(order).index(index)], alone, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [RATE, 11_025])
def test_encoding_neither_changes_its_input_nor_needs_to(kind, rate):
    samples = sweep(30)
    before = samples.copy()
    samples.setflags(write=False)
    encode(kind, samples, rate, subtract_mean=True, deltas=1)
    np.testing.assert_array_equal(samples, before)


def oracle_deltas(steps: np.ndarray) -> np.ndarray:
    """Slope of the regression line over five steps, the ends repeated."""
    padded = np.pad(steps.astype(np.float64), ((2, 2), (0, 0)), mode="edge")
    slopes = [np.polyfit(np.arange(-2, 3), padded[t : t + 5], 1)[0] for t in range(len(steps))]
    return np.stack(slopes)


@pytest.mark.parametrize("num_samples", [40, 300, 3000])
def test_deltas_are_slopes_over_five_steps_appended_as_features(num_samples):
    samples = sweep(num_samples)
    base, steps = encode("log_mel", samples), encode("log_mel", samples, deltas=2)
    first = oracle_deltas(base)
    np.testing.assert_array_equal(steps[:, :40], base)
    np.testing.assert_allclose(steps[:, 40:80], first, atol=1e-4)
    np.testing.assert_allclose(steps[:, 80:], oracle_deltas(first), atol=1e-4)


def test_subtract_mean_takes_away_a_constant_gain():
    samples = sweep(4000)
    quiet, loud = (encode("log_mel", gain * samples, subtract_mean=True) for gain in (0.5, 1.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    np.testing.assert_allclose(loud.mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("silence", [0, 1000, 5000])
def test_trimming_cuts_the_silent_ends_and_nothing_between(silence):
    burst = np.concatenate([sweep(2000), np.zeros(1500), sweep(2000)]).astype(np.float32)
    quiet = np.zeros(silence, np.float32)
    recording = np.concatenate([quiet, burst, quiet])
    steps = encode("waveform", recording, trim_silence_db=40.0)
    assert len(steps) == pytest.approx(1 + len(burst) // HOP, abs=6)
    assert len(encode("waveform", recording)) == 1 + len(recording) // HOP


def test_trimming_is_relative_to_the_recordings_own_peak():
    recording = np.concatenate([np.zeros(1000), sweep(2000), np.zeros(1000)]).astype(np.float32)
    loud, faint = (
        encode("waveform", gain * recording, trim_silence_db=40.0) for gain in (1.0, 0.01)
    )
    assert len(loud) == len(faint)


def test_digital_silence_stays_finite():
    recording = np.concatenate([np.zeros(4000), sweep(200)]).astype(np.float32)
    steps = encode("log_mel", recording, deltas=2)
    assert steps[:, :40].min() == -100
    for kind in KINDS:
        assert np.isfinite(encode(kind, recording)).all()


def test_reading_takes_files_bytes_names_and_ready_samples(tmp_path, wav_bytes, noise):
    content = wav_bytes(noise(300))
    (tmp_path / "a.wav").write_bytes(content)
    chosen = features("log_mel")
    sources = [content, tmp_path / "a.wav", str(tmp_path / "a.wav")]
    from_file, *others = [chosen.read(source).samples for source in sources]
    for samples in others:
        np.testing.assert_array_equal(samples, from_file)
    ready = chosen.read(noise(300))
    assert ready.sample_rate == RATE
    np.testing.assert_array_equal(ready.samples, noise(300))


def test_max_duration_counts_at_the_recordings_own_rate(wav_bytes, noise):
    content = wav_bytes(noise(8000), 16_000)
    assert features("log_mel", max_duration_s=0.5).read(content)
    with pytest.raises(BadInput, match="too long"):
        features("log_mel", max_duration_s=0.49).read(content)


class Section(Settings):
    features: AnyFeatures


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hop_ms", 0), ("window_ms", -1), ("sample_rate", 99), ("deltas", 3), ("num_bands", 0),
        ("trim_silence_db", 0), ("max_duration_s", 0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(setting, value):
    with pytest.raises(SettingsError, match=rf"features\.{setting}"):
        Section.parse({"features": {"kind": "log_mel", setting: value}})


@pytest.mark.parametrize(("window_ms", "num_bands"), [(25, 40), (5, 40), (25, 128), (64, 8)])
def test_every_mel_band_hears_something(window_ms, num_bands):
    log_mel = features("log_mel", window_ms=window_ms, num_bands=num_bands)
    assert log_mel.fft_size >= log_mel.window
    assert log_mel.fft_size & (log_mel.fft_size - 1) == 0
    noise = np.random.default_rng(0).normal(size=8000).astype(np.float32)
    (steps,) = log_mel.encode([Audio(noise, RATE)])
    assert steps.max(axis=0).min() > -80


@pytest.mark.parametrize("to_rate", [8000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("from_rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_usual_rates_are_resampled_exactly(from_rate, to_rate):
    assert audio._resampling_ratio(from_rate, to_rate) == Fraction(from_rate, to_rate)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44_100, 16_000), (8000, 11_025)])
def test_resampled_log_mel_agrees_with_librosa(from_rate, to_rate):
    noise = np.random.default_rng(0).normal(0, 0.1, from_rate).astype(np.float32)
    log_mel = LogMel(kind="log_mel", sample_rate=to_rate)
    sound = librosa.resample(noise, orig_sr=from_rate, target_sr=to_rate)
    energies = librosa.feature.melspectrogram(
        y=sound, sr=to_rate, n_mels=40, n_fft=log_mel.fft_size, win_length=log_mel.window,
        hop_length=log_mel.hop,
    )  # fmt: skip
    oracle = librosa.power_to_db(energies, amin=1e-10, top_db=None).T
    (steps,) = log_mel.encode([Audio(noise, from_rate)])
    assert np.abs(steps - oracle).max() < 0.01
    (former,) = log_mel.replace(signal_version=1).encode([Audio(noise, from_rate)])
    assert np.abs(former - oracle).max() > 1


def test_tones_beside_half_the_new_rate_are_kept_or_gone():
    time = np.arange(48_000) / 48_000
    for share, low, high in ((0.9, -0.1, 0.1), (1.05, -300, -100)):
        tone = np.sin(2 * np.pi * 8000 * share * time).astype(np.float32)
        found = audio.resample(tone, 48_000, 16_000)[2000:-2000]
        assert low < 10 * np.log10(2 * np.mean(found**2) + 1e-30) < high


def test_settings_without_a_signal_version_are_of_a_model_before_it():
    values = {"kind": "mfcc", "sample_rate": 8000}
    stored = parse_stored(values)
    assert stored.signal_version == 1 and "signal_version" not in stored.identity()
    assert parse_stored(values | {"signal_version": 2}).signal_version == 2
    assert Mfcc(kind="mfcc").identity()["signal_version"] == 2
    assert parse_stored({"kind": "word"}).kind == "word"


@pytest.mark.parametrize("from_rate", [101, 7919, 44_101, 999_983])
def test_odd_rates_take_no_memory_and_hardly_drift(from_rate):
    ratio = audio._resampling_ratio(from_rate, 8000)
    assert ratio.numerator * ratio.denominator <= audio.MAX_FILTER_VALUES
    assert abs(float(ratio) / (from_rate / 8000) - 1) < 1e-4


@pytest.mark.parametrize("claimed", [0, 1, 99, 1_000_001, 0xFFFFFFFF])
def test_an_impossible_rate_is_refused(wav_bytes, noise, claimed):
    content = bytearray(wav_bytes(noise(400)))
    content[24:28] = claimed.to_bytes(4, "little")
    with pytest.raises(BadInput, match="samples a second"):
        LogMel(kind="log_mel", sample_rate=8000).read(bytes(content))


def test_only_log_mel_bands_alone_are_a_spectrum():
    assert features("log_mel").is_spectrum
    for other in (features("log_mel", deltas=1), features("mfcc"), features("spectral")):
        assert not other.is_spectrum


@pytest.mark.parametrize("settings", [{}, {"sample_rate": 11_025, "window_ms": 31.0}])
@pytest.mark.parametrize("kind", [LogMel, Mfcc])
def test_without_torch_the_features_are_the_same(monkeypatch, noise, kind, settings):
    features = kind(kind="mfcc" if kind is Mfcc else "log_mel", **settings)
    signals = [noise(number) for number in (1, 80, 4001, 16_000)]
    expected = features._transform(signals)
    monkeypatch.delitem(sys.modules, "torch")
    found = features._transform(signals)
    assert all(one.dtype == np.float32 for one in found)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_lower_rate_and_samples_far_beyond_full_scale_are_said(wav_bytes, noise):
    features = LogMel(kind="log_mel", sample_rate=2 * RATE)
    raw = features.read(wav_bytes(noise(400) * 20_000, subtype="FLOAT"))
    lower, loud = features.remarks(raw, features)
    assert f"from {RATE} Hz to {2 * RATE} Hz: nothing is above {RATE // 2} Hz" in lower
    assert "beyond full scale" in loud
    plain = LogMel(kind="log_mel", sample_rate=RATE)
    assert plain.remarks(plain.read(wav_bytes(noise(400))), plain) == ()
