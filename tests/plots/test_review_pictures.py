"""Pictures of the review page."""

import io
import re

import matplotlib.image
import numpy as np
import pytest

from seqbelt.features.video.video import FrameDifferences
from seqbelt.plots.review_pictures import MAX_CHANNELS, channels_svg, frames_png, spectrogram_png


def pixels(png):
    return matplotlib.image.imread(io.BytesIO(png), "png")[..., :3].sum(axis=-1)


@pytest.mark.parametrize("seconds", [0.01, 1, 600])
def test_a_tone_is_a_line_at_its_frequency(seconds):
    rate = 4000
    tone = np.sin(2 * np.pi * 500 * np.arange(int(rate * seconds)) / rate).astype(np.float32)
    found = pixels(spectrogram_png(tone, rate))
    assert found.shape[1] <= 1300
    row = found[:, found.shape[1] // 2].argmax()
    # The lowest row is 0 Hz, the highest 2000 Hz.
    assert 1 - row / (len(found) - 1) == pytest.approx(500 / 2000, abs=0.03)


def test_frames_stand_in_rows_in_the_order_of_time():
    clip = np.stack([np.full((12, 16), value, np.uint8) for value in range(0, 240, 10)])
    features = FrameDifferences(kind="frame_differences", frame_rate=None)
    found = pixels(frames_png(clip, features))
    height, width = found.shape[0] // 3, found.shape[1] // 4
    middles = [
        found[row * height + height // 2, column * width + width // 2]
        for row in range(3)
        for column in range(4)
    ]
    assert middles == sorted(middles) and middles[0] < middles[-1]


def test_a_missing_value_interrupts_a_line_and_names_are_escaped():
    values = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    values[4, 0] = np.nan
    svg = channels_svg(values, ["<b>", "flat"], 0.5).decode()
    first, second = re.findall(r'<path d="([^"]*)"', svg)
    assert first.count("M") == 2 and second.count("M") == 1
    assert "&lt;b&gt;" in svg and "<b>" not in svg and "0 to 5 s" in svg


def test_many_steps_keep_their_peaks_and_many_channels_are_counted():
    values = np.zeros((100_000, MAX_CHANNELS + 3))
    values[70_000, 0] = 5
    svg = channels_svg(values).decode()
    assert len(svg) < 200_000 and "3 more channels are not drawn" in svg
    path = re.search(r'<path d="([^"]*)"', svg)
    heights = {float(point.split()[1]) for point in re.split("[ML]", path[1]) if point}
    assert sorted(heights) == [15, 59]  # the peak is at the top of the plot
