"""Small generated data of all four kinds, written as files.

In each kind the classes of a pair differ in *order*: a model of the bag of frames or words, or of
the length, stays near chance. Train and test have different speakers, subjects or sentences.
"""

import csv
import wave
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from seqbelt.settings import Seed, Settings

NUM_GROUPS = 8
"""Speakers or subjects; the last quarter of them is the test part."""
WORDS = ("aiu", "iau", "uai", "uia")  # two pairs of reversed words
FORMANTS = {"a": (780, 1250, 2600), "i": (300, 2250, 2950), "u": (330, 800, 2350)}
"""Centres of the first three formants in Hz, near the averages of a male voice."""
SAMPLE_RATE = 8000
GESTURES = ("clockwise", "counterclockwise", "pull_push", "push_pull")
SIGNAL_RATE = 50
MOVES = ("down_up", "left_right", "right_left", "up_down")
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

    - ``audio``: wav files (8 kHz, 16 bit), 0.2 to 0.8 s: three vowels sung by a synthetic voice in
      an order that is the class, in noise.
    - ``text``: one csv of English and Korean sentences of two opposed clauses. The second decides,
      and "not" turns its clause, so that both classes hold the same words.
    - ``signals``: csv files of a three-channel motion sensor at 50 Hz: circles of both senses,
      push then pull, pull then push.
    - ``video``: mp4 clips of a square that moves to one side, back, and rests.
    """

    kind: Literal["audio", "text", "signal", "video"]
    num_per_class: Annotated[int, Field(ge=NUM_GROUPS, le=5000)] = 120
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
            "audio": (WORDS, ".wav", _write_word),
            "signal": (GESTURES, ".csv", _write_gesture),
            "video": (MOVES, ".mp4", _write_move),
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


def _write_word(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """Sine-wave speech (Remez et al. 1981, doi:10.1126/science.7233191): a tone for each formant.

    Speakers differ in pitch (which pulses the tones), length of the vocal tract and brightness.
    """
    time = np.arange(int(rng.uniform(0.2, 0.8) * SAMPLE_RATE)) / SAMPLE_RATE
    borders = np.cumsum(rng.uniform(0.7, 1.3, 3))
    borders *= time[-1] / borders[-1]
    glide = 0.02
    knots = np.array([0, *(b + side for b in borders[:2] for side in (-glide, glide)), time[-1]])
    vowels = np.repeat([FORMANTS[vowel] for vowel in label], 2, axis=0) * (1 + 0.1 * traits[1])
    pitch = 150 * 2 ** (0.6 * traits[0] + 0.1 * rng.standard_normal())
    voice = np.zeros_like(time)
    for track, gain in zip(vowels.T, (1.0, 0.6 + 0.2 * traits[2], 0.3 + 0.15 * traits[2])):
        frequency = np.interp(time, knots, track)
        voice += gain * np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)
    voice *= (1 + np.cos(2 * np.pi * pitch * time)) * np.clip(
        np.minimum(time, time[-1] - time) / 0.02, 0, 1
    )
    noise = rng.standard_normal(len(time)) * voice.std() / 10 ** (rng.uniform(5, 20) / 20)
    samples = voice + noise
    samples *= rng.uniform(0.2, 0.9) / np.abs(samples).max()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def _write_gesture(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """Acceleration of a hand, in units of gravity; subjects differ in size, tilt and bias."""
    num_steps = rng.integers(SIGNAL_RATE, 2 * SIGNAL_RATE)
    time = np.linspace(0, 1, num_steps)
    motion = np.zeros((num_steps, 3))
    if label in ("clockwise", "counterclockwise"):
        angle = 2 * np.pi * (rng.uniform(1.5, 2.5) * time + rng.random())
        sense = 1 if label == "counterclockwise" else -1
        motion[:, 0], motion[:, 1] = np.cos(angle), sense * np.sin(angle)
    else:
        centres = rng.uniform((0.2, 0.6), (0.4, 0.8))
        push, pull = np.exp(-(((time - centres[:, None]) / 0.1) ** 2))
        motion[:, 2] = push - pull if label == "push_pull" else pull - push
    tilt = 0.2 * traits[0]
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    motion = (1 + 0.3 * traits[1]) * rng.uniform(0.7, 1.3) * motion @ turn + 0.1 * traits
    motion += 0.2 * rng.standard_normal(motion.shape)
    header = "acc_x,acc_y,acc_z"
    np.savetxt(path, motion, fmt="%.4f", delimiter=",", header=header, comments="")


def _write_move(path: Path, label: str, traits: np.ndarray, rng: np.random.Generator) -> None:
    """A bright square that moves to one side and back, so that both moves have the same
    positions, and rests, so that the last frames show neither."""
    import av

    num_moving, num_resting = int(rng.integers(12, 25)), int(rng.integers(8, 17))
    num_frames = num_moving + num_resting
    turns, room = rng.uniform((2, 28), (10, 36)), FRAME_SIZE - SQUARE
    if label in ("right_left", "down_up"):
        ends = turns[[0, 1, 0]]  # rightwards and downwards coordinates grow
    else:
        ends = turns[[1, 0, 1]]
    positions = np.interp(np.linspace(0, 2, num_moving), [0, 1, 2], ends)
    positions = np.append(positions, np.full(num_resting, ends[2]))
    positions = np.rint(positions + rng.uniform(-1, 1, num_frames)).astype(int).clip(0, room)
    across = rng.integers(0, room, endpoint=True)
    light = 190 + 40 * traits[0]
    frames = rng.normal(60 + 20 * traits[1], 8, (num_frames, FRAME_SIZE, FRAME_SIZE))
    for frame, position in zip(frames, positions):
        row, column = (across, position) if "left" in label else (position, across)
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
