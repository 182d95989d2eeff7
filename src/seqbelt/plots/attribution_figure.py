"""The panel of an explained input, by the kind of features."""

import io

import numpy as np

from seqbelt.features.audio.audio import AudioFeatures, LogMel
from seqbelt.features.base import Encoder, Features, Source, file_or_content
from seqbelt.features.media_container import open_container
from seqbelt.features.pretrained.encoded_sound import EncodedSound
from seqbelt.features.sound_sections import SoundSections
from seqbelt.features.video.video import VideoFeatures
from seqbelt.features.video.video_decoding import CONTAINERS, FrameFormat, decode_video
from seqbelt.plots.attributions import (
    AttributedSteps,
    Panel,
    audio_panel,
    choose_frames,
    signal_panel,
    video_panel,
)

FRAME_HEIGHT = 240
"""Height of a frame in the figure, in pixels."""
NOT_DRAWN = ("kind", "deltas", "subtract_mean")
"""Settings of audio features that the spectrogram does not use."""


def panel(
    features: Features,
    encoder: Encoder,
    source: Source,
    sequence: np.ndarray,
    steps: AttributedSteps,
) -> Panel:
    """A spectrogram, frames or lines of the input, with the attributions."""
    if isinstance(features, AudioFeatures):
        return _draw_audio(features, source, steps)
    if isinstance(features, VideoFeatures):
        return _draw_video(features, source, steps)
    names = getattr(encoder, "names", None) or ()
    if len(names) != sequence.shape[1]:  # unnamed, or there are differences beside the channels
        names = [str(feature) for feature in range(sequence.shape[1])]
    return signal_panel(steps, sequence, names)


def _draw_audio(features: AudioFeatures, source: Source, steps: AttributedSteps) -> Panel:
    """A log-mel spectrogram of the same steps, for any audio features."""
    not_drawn = NOT_DRAWN
    if isinstance(
        features, EncodedSound | SoundSections
    ):  # whose windows may be too long for a spectrum
        not_drawn += ("window_ms",)
    names = [name for name in LogMel.model_fields if name not in not_drawn]
    settings = {name: getattr(features, name) for name in names if hasattr(features, name)}
    view = LogMel(kind="log_mel", **settings)
    (decibels,) = view.encode([features.read(source)])
    highest = view.max_frequency or view.sample_rate / 2
    return audio_panel(steps, decibels, view.sample_rate, (view.min_frequency, highest))


def _draw_video(features: VideoFeatures, source: Source, steps: AttributedSteps) -> Panel:
    chosen = choose_frames(steps.attributions)
    wanted = set(chosen.tolist())
    clip = file_or_content(source)
    frames = decode_video(clip, frame_format(source), features.frame_rate, features.max_duration_s)
    return video_panel(steps, chosen, [f for step, f in enumerate(frames) if step in wanted])


def frame_format(source: Source) -> FrameFormat:
    """Small frames with the clip's aspect ratio."""
    if isinstance(source, np.ndarray):
        height, width = source.shape[1:3]
    else:
        file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
        with open_container(file, CONTAINERS) as container:
            frame = next(container.decode(video=0))
        width, height = frame.width, frame.height
        if round(frame.rotation / 90) % 2:
            width, height = height, width
    return FrameFormat(max(1, round(FRAME_HEIGHT * width / height)), FRAME_HEIGHT, is_grey=False)
