"""Pictures of single items for the review page: spectrogram, frames, channels."""

import html
import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from seqbelt.features.base import Source, file_or_content
from seqbelt.features.video.video import VideoFeatures
from seqbelt.features.video.video_decoding import decode_video
from seqbelt.plots.attribution_figure import frame_format

MAX_COLUMNS, MAX_FRAMES, FRAME_COLUMNS, MAX_CHANNELS = 1200, 12, 4, 12
"""Largest widths and numbers in a picture; more channels are summed up in a line."""
WINDOW_S, DYNAMIC_RANGE_DB = 0.025, 80.0
NUM_POINTS = 600
"""Of a channel's line; where there are more steps, each point spans a minimum and a maximum."""
CHANNEL_HEIGHT = 64
"""Height of a channel's plot in pixels."""


def spectrogram_png(samples: np.ndarray, sample_rate: int) -> bytes:
    """A spectrogram without axes: time from left to right, 0 to half the sample rate upwards.

    ``samples`` float ``(samples,)``. Powers are in dB below the recording's own largest.
    """
    from matplotlib.image import imsave
    from scipy.signal import stft

    window = int(2 ** np.ceil(np.log2(max(16, WINDOW_S * sample_rate))))
    hop = max(window // 4, len(samples) // MAX_COLUMNS, 1)
    padded = np.pad(samples, (0, max(0, window - len(samples))))
    overlap = max(0, window - hop)
    if hop > window:  # a long recording: every so many samples a window
        starts = np.arange(0, len(padded) - window + 1, hop)
        frames = np.stack([padded[start : start + window] for start in starts])
        power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1).T) ** 2
    else:
        power = np.abs(stft(padded, nperseg=window, noverlap=overlap)[2]) ** 2
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    top = decibels.max()
    content = io.BytesIO()
    imsave(
        content, decibels, cmap="magma", origin="lower", vmin=top - DYNAMIC_RANGE_DB, vmax=top,
        format="png",
    )  # fmt: skip
    return content.getvalue()


def frames_png(source: Source, features: VideoFeatures) -> bytes:
    """Up to ``MAX_FRAMES`` frames of a clip at even distances, row by row. Raises BadInput."""
    from matplotlib.image import imsave

    clip = file_or_content(source)
    frames = list(
        decode_video(clip, frame_format(source), features.frame_rate, features.max_duration_s)
    )
    columns = min(FRAME_COLUMNS, len(frames))
    count = min(MAX_FRAMES, len(frames) // columns * columns)  # whole rows
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    frames = [frames[index] for index in chosen]
    rows = [np.concatenate(frames[i : i + columns], axis=1) for i in range(0, len(frames), columns)]
    content = io.BytesIO()
    imsave(content, np.concatenate(rows), cmap="gray", vmin=0, vmax=255, format="png")
    return content.getvalue()


def channels_svg(
    values: np.ndarray,
    names: Sequence[str] | None = None,
    step_s: float | None = None,
    width: int = 720,
) -> bytes:
    """Channels ``(steps, channels)`` one below the other, each in its own range, as an SVG that
    follows the light or dark theme of the reader; ``width`` is in pixels."""
    num_steps, num_channels = values.shape
    shown = min(num_channels, MAX_CHANNELS)
    height = shown * CHANNEL_HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        "<style>text{fill:#444}path{fill:none;stroke:#1f77b4;stroke-width:1.2}"
        "line{stroke:#8884}@media(prefers-color-scheme:dark){text{fill:#bbb}"
        "path{stroke:#7fb3dc}}</style>",
    ]
    for channel in range(shown):
        top = channel * CHANNEL_HEIGHT
        column = values[:, channel].astype(np.float64)
        name = names[channel] if names is not None and channel < len(names) else str(channel)
        finite = column[np.isfinite(column)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        parts.append(f'<path d="{_path(column, low, high, top + 15, width)}"/>')
        parts.append(
            f'<text x="2" y="{top + 11}">{html.escape(name)}</text>'
            f'<text x="{width - 2}" y="{top + 11}" text-anchor="end">'
            f"{low:.4g} … {high:.4g}</text>"
            f'<line x1="0" x2="{width}" y1="{top + CHANNEL_HEIGHT}" '
            f'y2="{top + CHANNEL_HEIGHT}"/>'
        )
    length = f"{num_steps * step_s:.3g} s" if step_s else f"{num_steps:,} steps"
    more = f"; {num_channels - shown:,} more channels are not drawn" if num_channels > shown else ""
    parts.append(f'<text x="2" y="{height - 8}">0 to {length}{more}</text></svg>')
    return "".join(parts).encode()


def _path(column: np.ndarray, low: float, high: float, top: float, width: int) -> str:
    """A line as SVG path data; it is interrupted where values are missing."""
    num_steps = len(column)
    positions = np.arange(num_steps)
    if num_steps > NUM_POINTS:  # the least and the largest value of each piece
        edges = np.linspace(0, num_steps, NUM_POINTS // 2 + 1).astype(int)
        pieces = [column[a:b] for a, b in pairwise(edges)]
        column = np.array([
            value
            for piece in pieces
            for value in ((np.nanmin(piece), np.nanmax(piece))
                          if np.isfinite(piece).any() else (np.nan, np.nan))
        ])  # fmt: skip
        positions = np.repeat((edges[:-1] + edges[1:] - 1) / 2, 2)
    x = positions * ((width - 1) / max(1, num_steps - 1))
    spread = high - low
    height = CHANNEL_HEIGHT - 20
    y = top + height * (1 - (column - low) / spread) if spread > 0 else np.where(
        np.isfinite(column), top + height / 2, np.nan
    )  # fmt: skip
    words, is_down = list[str](), False
    for a, b in zip(x.tolist(), y.tolist()):
        if np.isnan(b):
            is_down = False
            continue
        words.append(f"{'L' if is_down else 'M'}{a:.1f} {b:.1f}")
        is_down = True
    return "".join(words)
