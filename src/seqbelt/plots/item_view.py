"""One item for a page: a recording to play, a text to read, frames to see, channels drawn."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from markupsafe import Markup

from seqbelt.errors import BadInput
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Features, Source
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.joined_inputs import KIND, SeveralInputs, cells_of, parts_of
from seqbelt.features.video.video import VideoFeatures
from seqbelt.features.video.video_decoding import FrameFormat, decode_video
from seqbelt.plots.report_page import Words, join

Kind = Literal["audio", "video", "text", "channels", "inputs"]
MAX_AUDIO_S = 8.0
"""Longer recordings are embedded up to here."""
MAX_RATE = 16_000
MAX_CHARACTERS = 600
NUM_FRAMES = 4
FRAME_WIDTH, FRAME_HEIGHT = 160, 120
MAX_CHANNELS = 6
WIDTH, CHANNEL_HEIGHT = 320, 34


@dataclass(frozen=True)
class ShownItem:
    """An item and its caption."""

    name: str
    source: Source | None
    """Its content; None where it is not available any more."""
    sequence: Callable[[], np.ndarray | None]
    """Its encoded steps; drawn where the content can be neither played nor read."""
    lines: tuple[str, ...]
    """Sentences above it."""
    layout: InputLayout | None = None
    """Where its inputs are in the sequence, if it has several."""


def kind_of(features: Features) -> Kind:
    """What the items of these features are to a person."""
    if isinstance(features, SeveralInputs):
        return KIND
    if isinstance(features, AudioFeatures):
        return "audio"
    if isinstance(features, VideoFeatures):
        return "video"
    return "text" if features.reads_text else "channels"


def show_item(item: ShownItem, features: Features, words: Words) -> Markup:
    """The item as the content of a card."""
    lines = [Markup("<div>{}</div>").format(line) for line in item.lines]
    name = Markup('<div class="name">{}</div>').format(_visible(item.name))
    return join([*lines, _content(item, features, words), name])


def _visible(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _content(item: ShownItem, features: Features, words: Words) -> Markup:
    if isinstance(features, SeveralInputs):
        return _parts(item, features, words)
    try:
        if item.source is not None:
            if features.reads_text:
                return _text(features.read(item.source))
            if isinstance(features, AudioFeatures):
                return _player(features.read(item.source), words)
            if isinstance(features, VideoFeatures) and isinstance(item.source, Path | bytes):
                return _frames(item.source, features)
    except (BadInput, OSError):  # moved, or changed since
        pass
    sequence = item.sequence()
    if sequence is None or sequence.ndim != 2:
        return Markup('<p class="soft">{}</p>').format(words("not_available"))
    return _channels(sequence, words)


def _parts(item: ShownItem, features: SeveralInputs, words: Words) -> Markup:
    """The inputs of an item one below the other, then its columns."""
    if item.source is None:
        return Markup('<p class="soft">{}</p>').format(words("not_available"))
    shown = []
    for index, (name, section, part) in enumerate(parts_of(features, item.source)):
        content = Markup('<p class="soft">{}</p>').format(words("missing_input"))
        if part is not None:
            sequence = partial(_sequence_of, item, index)
            content = _content(replace(item, source=part, sequence=sequence), section, words)
        shown.append(Markup('<div class="name">{}</div>{}').format(name, content))
    cells = ", ".join(f"{name}: {cell or '–'}" for name, cell in cells_of(features, item.source))
    return join([*shown, Markup('<div class="name">{}</div>').format(cells)])


def _sequence_of(item: ShownItem, index: int) -> np.ndarray | None:
    """The encoded steps of one of an item's inputs."""
    packed = item.sequence()
    return None if packed is None or item.layout is None else item.layout.unpack(packed)[index]


def _text(text: str) -> Markup:
    more = "…" if len(text) > MAX_CHARACTERS else ""
    return Markup("<blockquote>{}{}</blockquote>").format(text[:MAX_CHARACTERS], more)


def _player(audio: Audio, words: Words) -> Markup:
    import soundfile
    import soxr

    samples, rate = audio.samples, audio.sample_rate
    is_cut = len(samples) > MAX_AUDIO_S * rate
    samples = samples[: int(MAX_AUDIO_S * rate)]
    if rate > MAX_RATE:
        samples, rate = soxr.resample(samples, rate, MAX_RATE), MAX_RATE
    peak = float(np.abs(samples).max(initial=0.0))
    content = io.BytesIO()
    soundfile.write(content, samples / max(peak, 1.0), rate, format="WAV", subtype="PCM_16")
    data = base64.b64encode(content.getvalue()).decode()
    note = Markup("")
    if is_cut:
        note = Markup('<div class="name">{}</div>').format(words("part_of", seconds=MAX_AUDIO_S))
    return (
        Markup('<audio controls preload="metadata" src="data:audio/wav;base64,{}"></audio>').format(
            data
        )
        + _envelope(samples)
        + note
    )


def _envelope(samples: np.ndarray) -> Markup:
    """The loudness over time: the largest sample of each of 160 parts."""
    if not len(samples):
        return Markup("")
    parts = np.array_split(np.abs(samples), min(160, len(samples)))
    peaks = np.array([part.max() for part in parts])
    heights = 20 * peaks / max(float(peaks.max()), 1e-9)
    x = np.linspace(0, WIDTH, len(heights))
    upper = [f"{a:.1f},{20 - b:.1f}" for a, b in zip(x, heights, strict=True)]
    lower = [f"{a:.1f},{20 + b:.1f}" for a, b in zip(x[::-1], heights[::-1], strict=True)]
    return Markup(
        '<svg viewBox="0 0 {} 40" aria-hidden="true"><polygon points="{}" fill="var(--blue)"/>'
        "</svg>"
    ).format(WIDTH, " ".join(upper + lower))


def _frames(source: Path | bytes, features: VideoFeatures) -> Markup:
    """Frames from begin to end, side by side."""
    from PIL import Image

    size = FrameFormat(FRAME_WIDTH, FRAME_HEIGHT, is_grey=False)
    frames = list(decode_video(source, size, features.frame_rate, features.max_duration_s))
    chosen = np.unique(np.linspace(0, len(frames) - 1, NUM_FRAMES).round().astype(int))
    strip = np.concatenate([frames[index] for index in chosen], axis=1)
    content = io.BytesIO()
    Image.fromarray(strip).save(content, "JPEG", quality=75)
    data = base64.b64encode(content.getvalue()).decode()
    return Markup('<img alt="" src="data:image/jpeg;base64,{}">').format(data)


def _channels(sequence: np.ndarray, words: Words) -> Markup:
    """The first channels, each on its own scale, one above the other."""
    shown = min(sequence.shape[1], MAX_CHANNELS)
    every = -(-len(sequence) // WIDTH)
    lines = []
    for channel in range(shown):
        values = sequence[::every, channel].astype(float)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
        x = np.linspace(0, WIDTH, len(values)) if len(values) > 1 else np.array([WIDTH / 2])
        y = CHANNEL_HEIGHT * (channel + 1) - 4 - (CHANNEL_HEIGHT - 8) * scaled
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append(
            Markup(
                '<polyline points="{}" fill="none" stroke="var(--blue)" stroke-width="1.4"/>'
            ).format(points)
        )
    key = "drawn" if shown < sequence.shape[1] else "drawn_all"
    caption = words(key, shown=shown, total=sequence.shape[1])
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg><div class="name">{}</div>'
    ).format(WIDTH, CHANNEL_HEIGHT * shown, caption, join(lines), caption)
