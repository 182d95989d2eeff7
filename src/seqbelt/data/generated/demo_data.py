"""Small generated data of all four kinds, written as files.

The classes differ in *order over distance* only. A recording is a series of events, of each kind
twice, and its class is the kind of the last one; a text is two clauses, and the second decides. A
model of the bag of frames or words, of the length, of averages over parts of the sequence or of
short patterns anywhere cannot tell them. Train and test have different speakers, subjects or
sentences.
"""

import csv
import wave
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seqbelt.settings import Seed, Settings

NUM_GROUPS = 8
"""Speakers or subjects; the last quarter of them is the test part."""
VOWELS = ("a", "i", "u")
FORMANTS = {"a": (780, 1250, 2600), "i": (300, 2250, 2950), "u": (330, 800, 2350)}
"""Centres of the first three formants in Hz, near the averages of a male voice."""
SAMPLE_RATE = 8000
RISE_S = 0.02
"""Rise and fall of a vowel."""
AXES = ("x", "y", "z")
SIGNAL_RATE = 50
SIDES = {"down": (1, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0)}
"""Directions as rows and columns of a frame."""
FRAME_RATE, FRAME_SIZE, SQUARE = 12, 48, 10
WordLists = dict[str, tuple[str, ...]]
ENGLISH: WordLists = {
    "topic": ("food", "service", "music", "room", "price", "plot", "acting", "view"),
    "positive": ("good", "great", "lovely", "pleasant", "excellent"),
    "negative": ("bad", "poor", "dull", "awful", "terrible"),
    "clause": ("the {topic} was {adjective}", "the {topic} was not {adjective}"),
    "sentence": ("{} but {}", "I think {} but {}", "{} but in the end {}"),
}
KOREAN: WordLists = {
    "topic": ("음식은", "서비스는", "음악은", "방은", "가격은", "줄거리는", "연기는", "경치는"),
    "positive": ("좋아요", "훌륭해요", "편해요", "깨끗해요", "멋져요"),
    "negative": ("나빠요", "지루해요", "불편해요", "더러워요", "이상해요"),
    "clause": ("{topic} {adjective}", "{topic} 안 {adjective}"),
    "sentence": ("{} 하지만 {}", "솔직히 {} 하지만 {}", "{} 하지만 결국 {}"),
}


class DemoData(Settings):
    """A generated data set of one kind.

    - ``audio``: wav files (8 kHz, 16 bit), 1.0 to 1.8 s: six vowels sung by a synthetic voice, in
      noise; the class is the last vowel.
    - ``text``: one csv of English and Korean sentences of two opposed clauses. The second decides,
      and "not" turns its clause, so that both classes hold the same words.
    - ``signal``: csv files of a three-channel motion sensor at 50 Hz: six pushes; the class is the
      axis of the last.
    - ``video``: mp4 clips of a square that goes to a side and back eight times; the class is the
      last side.
    """

    kind: Literal["audio", "text", "signal", "video"]
    num_per_class: Annotated[int, Field(ge=NUM_GROUPS, le=5000)] = 160
    """Items of each class, a quarter of them in the test part; for text, in each language."""
    seed: Seed = 0
    """Seed of the data."""

    def write(self, folder: str | Path) -> Path:
        """Write the files; returns the path for ``data.source``.

        That is ``folder`` with ``train/CLASS/`` and ``test/CLASS/`` in it (file names start with
        the speaker or subject), or for text its ``manifest.csv`` with ``text``, ``label`` and
        ``split``. Files of the same name are replaced.
        """
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        in_class_folders = {
            "audio": (VOWELS, ".wav", _write_vowels),
            "signal": (AXES, ".csv", _write_pushes),
            "video": (tuple(SIDES), ".mp4", _write_moves),
        }
        if self.kind not in in_class_folders:
            return self._write_text(root / "manifest.csv")
        classes, suffix, write = in_class_folders[self.kind]
        groups = [np.random.default_rng([self.seed, group]) for group in range(NUM_GROUPS)]
        traits = [rng.uniform(-1, 1, 3) for rng in groups]
        for label in classes:
            for part in ("train", "test"):
                (root / part / label).mkdir(parents=True, exist_ok=True)
            for number in range(self.num_per_class):
                group = number % NUM_GROUPS
                part = "train" if group < NUM_GROUPS * 3 // 4 else "test"
                path = root / part / label / f"g{group}_{number:04d}{suffix}"
                write(path, label, traits[group], groups[group])
        return root

    def _write_text(self, path: Path) -> Path:
        rng = np.random.default_rng(self.seed)
        rows = []
        for language, label in product((ENGLISH, KOREAN), ("positive", "negative")):
            texts: dict[str, str] = {}  # each sentence once, so that none is in both parts
            while len(texts) < self.num_per_class:
                texts[_sentence(rng, language, label)] = "train" if len(texts) % 4 else "test"
            rows += [(text, label, part) for text, part in texts.items()]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "label", "split"))
            writer.writerows(rows[index] for index in rng.permutation(len(rows)))
        return path


def _sentence(rng: np.random.Generator, language: WordLists, label: str) -> str:
    """Two clauses of opposite sense; the second has that of the label."""
    opposite = {"positive": "negative", "negative": "positive"}
    topics = rng.choice(language["topic"], 2, replace=False)
    clauses = []
    for topic, sense in zip(topics, (opposite[label], label)):
        plain, negated = language["clause"]
        clause, adjective_sense = (
            (plain, sense) if rng.random() < 0.5 else (negated, opposite[sense])
        )
        clauses.append(clause.format(topic=topic, adjective=rng.choice(language[adjective_sense])))
    return str(rng.choice(language["sentence"])).format(*clauses)


def _events(last: str, kinds: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Each kind twice, in random order before the last."""
    others = [*kinds, *kinds]
    others.remove(last)
    return [*rng.permutation(others).tolist(), last]


def _periods(count: int, mean_pause: float, rng: np.random.Generator) -> np.ndarray:
    """Begin and end of ``count`` events in an interval from 0 to 1, ``(count, 2)``.

    The pauses before, between and after them, ``mean_pause`` events long, have one distribution, so
    that none tells which event is the last.
    """
    lengths = np.empty(2 * count + 1)
    lengths[1::2] = rng.uniform(0.8, 1.2, count)
    lengths[::2] = rng.exponential(mean_pause, count + 1)
    borders = np.cumsum(lengths) / lengths.sum()
    return borders[:-1].reshape(count, 2)


def _write_vowels(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """Sine-wave speech (Remez et al. 1981, doi:10.1126/science.7233191): a tone for each formant.

    Speakers differ in pitch (which pulses the tones), length of the vocal tract and brightness.
    """
    time = np.arange(int(rng.uniform(1.0, 1.8) * SAMPLE_RATE)) / SAMPLE_RATE
    vowels = _events(label, VOWELS, rng)
    voice = np.zeros_like(time)
    for vowel, (begin, end) in zip(vowels, _periods(len(vowels), 2.0, rng) * time[-1]):
        loudness = rng.uniform(0.7, 1.3) * np.clip(
            np.minimum(time - begin, end - time) / RISE_S, 0, 1
        )
        pitch = 150 * 2 ** (0.6 * traits[0] + 0.1 * rng.standard_normal())
        pulses = loudness * (1 + np.cos(2 * np.pi * pitch * time))
        gains = (1.0, 0.6 + 0.2 * traits[2], 0.3 + 0.15 * traits[2])
        for formant, gain in zip(FORMANTS[vowel], gains):
            voice += gain * pulses * np.sin(2 * np.pi * formant * (1 + 0.1 * traits[1]) * time)
    noise = rng.standard_normal(len(time)) * voice.std() / 10 ** (rng.uniform(5, 20) / 20)
    samples = voice + noise
    samples *= rng.uniform(0.2, 0.9) / np.abs(samples).max()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def _write_pushes(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """Acceleration of a hand, in units of gravity; subjects differ in size, tilt and bias."""
    num_steps = int(rng.integers(2 * SIGNAL_RATE, 4 * SIGNAL_RATE))
    time = np.linspace(0, 1, num_steps)
    motion = np.zeros((num_steps, 3))
    axes = _events(label, AXES, rng)
    for axis, (begin, end) in zip(axes, _periods(len(axes), 2.0, rng)):
        push = np.sin(np.pi * ((time - begin) / (end - begin)).clip(0, 1)) ** 2
        motion[:, AXES.index(axis)] += rng.uniform(0.7, 1.3) * push
    tilt = 0.2 * traits[0]
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    motion = (1 + 0.3 * traits[1]) * motion @ turn + 0.1 * traits
    motion += 0.2 * rng.standard_normal(motion.shape)
    header = "acc_x,acc_y,acc_z"
    np.savetxt(path, motion, fmt="%.4f", delimiter=",", header=header, comments="")


def _write_moves(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """A bright square that goes from the middle to a side and back, again and again."""
    import av

    sides = _events(label, [*SIDES], rng)
    num_frames = int(rng.integers(48, 73))
    time = np.linspace(0, 1, num_frames)
    middle = (FRAME_SIZE - SQUARE) / 2
    positions = middle + rng.uniform(-2, 2, (num_frames, 2))
    for side, (begin, end) in zip(sides, _periods(len(sides), 1.0, rng)):
        way = 1 - np.abs(2 * ((time - begin) / (end - begin)).clip(0, 1) - 1)
        positions += middle * rng.uniform(0.6, 0.9) * way[:, None] * SIDES[side]
    rows_and_columns = np.rint(positions).astype(int).clip(0, FRAME_SIZE - SQUARE)
    light = 190 + 40 * traits[0]
    frames = rng.normal(60 + 20 * traits[1], 8, (num_frames, FRAME_SIZE, FRAME_SIZE))
    for frame, (row, column) in zip(frames, rows_and_columns):
        frame[row : row + SQUARE, column : column + SQUARE] = light
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FRAME_RATE)
        stream.width = stream.height = FRAME_SIZE
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the same bytes on any number of cores
        for frame in frames.clip(0, 255).astype(np.uint8):
            image = av.VideoFrame.from_ndarray(np.repeat(frame[:, :, None], 3, axis=2))
            container.mux(stream.encode(image))
        container.mux(stream.encode())
