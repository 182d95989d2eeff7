"""The content of an item's inputs as a browser shows it: texts, WAV files, pictures."""

import io
import wave
from typing import Any

import numpy as np

from seqbelt.errors import UNREADABLE, BadInput
from seqbelt.features.arrays.array_encoder import Steps
from seqbelt.features.audio.audio import AudioFeatures
from seqbelt.features.audio.audio_decoding import Audio
from seqbelt.features.base import Features, Source
from seqbelt.features.joined_inputs import cells_of, parts_of
from seqbelt.features.video.video import VideoFeatures
from seqbelt.plots.item_view import kind_of
from seqbelt.plots.review_pictures import channels_svg, frames_png, spectrogram_png

MAX_CHARACTERS = 20_000
"""Of a text that is shown."""


def describe_content(features: Features, source: Source) -> dict[str, Any]:
    """The inputs of an item with their name, kind (null where it is missing), and text or why there
    is none; and its cells of the manifest's columns."""
    inputs: list[dict[str, Any]] = []
    for name, section, part in parts_of(features, source):
        kind = None if part is None else kind_of(section)
        shown: dict[str, Any] = {"name": name, "kind": kind}
        if part is not None and kind == "text":
            try:
                shown["text"] = text_of(section, part)
            except BadInput as error:
                shown["error"] = str(error)
        inputs.append(shown)
    return {"inputs": inputs, "columns": cells_of(features, source)}


def text_of(features: Features, source: Source) -> str:
    """A text, shortened. Raises BadInput."""
    text = str(features.read(source))
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]} … ({len(text) - MAX_CHARACTERS:,} more characters)"


def wav_of(features: AudioFeatures, source: Source) -> bytes:
    """The recording as 16-bit mono WAV, which every browser plays. Raises BadInput."""
    audio: Audio = features.read(source)
    samples = np.clip(audio.samples, -1, 1) * 32767
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.sample_rate)
        file.writeframes(samples.round().astype("<i2").tobytes())
    return content.getvalue()


def picture_of(features: Features, source: Source, width: int) -> tuple[bytes, str]:
    """A picture of an input, and its media type; channels are drawn for ``width`` pixels.

    Raises BadInput.
    """
    try:
        return _draw(features, source, width)
    except BadInput:
        raise
    except Exception as error:  # a decoder's own fault must cost one item
        raise BadInput(UNREADABLE, f"{type(error).__name__}: {error}") from None


def _draw(features: Features, source: Source, width: int) -> tuple[bytes, str]:
    if isinstance(features, AudioFeatures):
        audio: Audio = features.read(source)
        return spectrogram_png(audio.samples, audio.sample_rate), "image/png"
    if isinstance(features, VideoFeatures):
        return frames_png(source, features), "image/png"
    raw = features.read(source)
    values, names = (raw.values, raw.names) if isinstance(raw, Steps) else (np.asarray(raw), None)
    if not values.size:
        raise BadInput(UNREADABLE, "there are no steps to draw")
    values = values.reshape(len(values), -1)
    return channels_svg(values, names, features.step_s(), width), "image/svg+xml"
