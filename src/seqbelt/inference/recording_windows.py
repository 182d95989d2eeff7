"""Read a long recording in pieces and cut it into windows, in bounded memory."""

import io
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import soundfile

from seqbelt.errors import EMPTY, BadInput
from seqbelt.features.arrays.array_features import ArrayFeatures
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import decode_audio, whole_wav
from seqbelt.features.base import Source
from seqbelt.inference.bundle import Bundle

BLOCK_SAMPLES = 1 << 18


def default_window_s(bundle: Bundle) -> float | None:
    """Duration in seconds of a typical training sequence, at most ``max_steps``. None if the bundle
    has neither, or steps have no time."""
    step_s = bundle.features.step_s()
    if step_s is None:
        return None
    lengths = [bundle.about.get("median_num_steps"), bundle.model.max_steps]
    known = [length for length in lengths if length]
    return min(known) * step_s if known else None


def open_recording(bundle: Bundle, source: Source) -> tuple[float, Iterator[np.ndarray]]:
    """The rate in Hz of a recording, and its mono samples or rows in pieces."""
    features = bundle.features
    if isinstance(features, AudioFeatures):
        if isinstance(source, Path):
            return _open_audio(source)
        unlimited = features.replace(max_duration_s=1e12)
        audio = unlimited.read(source)
        return audio.sample_rate, iter([audio.samples])
    assert isinstance(features, ArrayFeatures) and features.sample_rate is not None
    raw = features.read(source)
    bundle.encoder.encode([raw])  # raises for another number or names of columns
    return features.sample_rate, iter([raw.values])


def _open_audio(path: Path) -> tuple[float, Iterator[np.ndarray]]:
    if not path.stat().st_size:
        raise BadInput(EMPTY, "the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        whole = whole_wav(cast(bytes, content))  # a mapped file can be sliced like bytes
        patched = None if whole is content else io.BytesIO(bytes(whole))
    try:
        sound = soundfile.SoundFile(patched or str(path))
    except soundfile.LibsndfileError:  # PyAV decodes the complete file
        audio = decode_audio(path, float("inf"))
        return audio.sample_rate, iter([audio.samples])
    return sound.samplerate, _read_blocks(sound)


def _read_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    with sound:
        while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
            is_mono = block.shape[1] == 1
            yield block[:, 0] if is_mono else block.mean(axis=1, dtype=np.float32)


def slide_windows(
    pieces: Iterable[np.ndarray], size: int, hop: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut pieces of any length into windows of ``size`` inputs; yields the first input's index and
    the window.

    Window ``i`` starts at ``round(i * hop)``; the last window ends at the end. A signal shorter
    than a window is one window. Memory is bounded by one window and one piece.
    """
    kept = np.empty(0)
    first = num_cut = 0  # index of the first input that is kept; windows so far
    is_begun = False
    end_of_last = 0
    for piece in pieces:
        if not len(piece):
            continue
        kept = np.concatenate([kept, piece]) if is_begun else piece
        is_begun = True
        while (start := round(num_cut * hop)) + size <= first + len(kept):
            yield start, kept[start - first : start - first + size].copy()
            end_of_last = start + size
            num_cut += 1
        # The last window may start up to a window before the end.
        drop = min(round(num_cut * hop), first + len(kept) - size) - first
        if drop > 0:
            kept, first = kept[drop:].copy(), first + drop
    end = first + len(kept)
    if is_begun and end > end_of_last:
        start = max(0, end - size)
        yield start, kept[start - first :].copy()
