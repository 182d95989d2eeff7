"""Copies planted in the test part, and how many of them the audit finds.

Run::

    python benchmarks/leak_recall.py [--sets fsdd,sst2,...] [--planted 100] [--boards FOLDER]

Of each set rows of the training part are copied, changed as people change them (sounds encoded
again, resampled, made quieter, cut, shifted; clips encoded again, resized, cropped, mirrored; texts
with a word changed; signals shifted, scaled, cut into overlapping windows), encoded with the set's
own features and added to the test part. A table has, for each set and kind: the copies found with
their own original, the rows of the real test part that are taken for a copy of some training row
(an upper bound of the false alarms, since some of them are real duplicates), and the seconds.
``--boards`` names the folder of prepared configs (``configs/NAME.yaml``, paths relative to it).
"""

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from seqbelt.data.audit.rows import Rows
from seqbelt.data.audit.signals import similar_signals
from seqbelt.data.audit.texts import similar_texts
from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.experiment import Experiment
from seqbelt.features.audio.audio import AudioFeatures, resample
from seqbelt.features.audio.audio_decoding import decode_audio
from seqbelt.features.video.video import VideoFeatures

SETS = ("fsdd", "ut_interaction", "sst2", "japanese_vowels", "arabic_commands10", "libras",
        "epilepsy", "articulary_words", "gesture_pebble_z2", "cwru_bearing_12k", "tweet_emotion",
        "kor_3i4k", "banking77")  # fmt: skip
Random = np.random.Generator


def wav(samples: np.ndarray, rate: int, **how: str) -> bytes:
    """A sound file's bytes."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, **({"format": "WAV"} | how))
    return file.getvalue()


def cut(steps: np.ndarray, random: Random, fraction: float = 0.15) -> np.ndarray:
    """Without a fraction of its steps, some at the beginning, some at the end."""
    count = int(fraction * len(steps))
    start = int(random.integers(0, count + 1))
    return steps[start : len(steps) - (count - start)]


def shifted(samples: np.ndarray, rate: int, random: Random) -> np.ndarray:
    """Begins 20 to 100 ms later, in faint noise, and ends so much earlier."""
    count = min(int(rate * random.uniform(0.02, 0.1)), len(samples) // 3)
    noise = 1e-3 * np.abs(samples).max() * random.normal(size=count)
    return np.concatenate([noise, samples[: len(samples) - count]])


SOUNDS: dict[str, Callable[[np.ndarray, int, Random], bytes]] = {
    "exact": lambda x, rate, random: wav(x, rate),
    "mp3": lambda x, rate, random: wav(x, rate, format="MP3", subtype="MPEG_LAYER_III"),
    "ogg": lambda x, rate, random: wav(x, rate, format="OGG", subtype="VORBIS"),
    "resampled": lambda x, rate, random: wav(
        resample(x.astype(np.float32), rate, rate * 3 // 4), rate * 3 // 4
    ),
    "-6 dB": lambda x, rate, random: wav(x / 2, rate),
    "cut": lambda x, rate, random: wav(cut(x, random), rate),
    "shifted": lambda x, rate, random: wav(shifted(x, rate, random), rate),
}


def signals() -> dict[str, Callable[[np.ndarray, np.ndarray, Random], np.ndarray]]:
    """Changes of a sequence ``(steps, features)``; the second one is another recording."""

    def overlapping(x: np.ndarray, other: np.ndarray, random: Random) -> np.ndarray:
        half = len(x) // 2
        return np.concatenate([x[half:], other[: max(1, half)]])

    def delayed(x: np.ndarray, other: np.ndarray, random: Random) -> np.ndarray:
        count = int(random.integers(1, max(2, len(x) // 5 + 1)))
        return np.concatenate([other[-count:], x[: len(x) - count]])

    return {
        "exact": lambda x, other, random: x.copy(),
        "scaled": lambda x, other, random: x * random.choice([0.5, 2]) + random.normal(),
        "shifted": delayed,
        "cut": lambda x, other, random: cut(x, random),
        "overlapping": overlapping,
        "noise": lambda x, other, random: x
        + 0.03 * x.std(0) * random.normal(size=x.shape),
    }  # fmt: skip


def recoded(path: Path, scale: float, crop: float, mirror: bool, bit_rate: int) -> bytes:
    """A clip encoded again as MPEG-4 in MP4, scaled, cropped at each side, mirrored."""
    file = io.BytesIO()
    with av.open(str(path)) as source, av.open(file, "w", format="mp4") as target:
        stream = source.streams.video[0]
        rate = Fraction(stream.average_rate or 30)
        out: Any = None
        for frame in source.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            height, width = image.shape[:2]
            dy, dx = int(crop * height), int(crop * width)
            image = image[dy : height - dy, dx : width - dx]
            image = np.ascontiguousarray(image[:, ::-1] if mirror else image)
            size = [max(2, int(scale * n) // 2 * 2) for n in image.shape[:2]]
            if out is None:
                out = target.add_stream("mpeg4", rate=rate)
                out.height, out.width, out.pix_fmt, out.bit_rate = *size, "yuv420p", bit_rate
            new = av.VideoFrame.from_ndarray(image, format="rgb24")
            new = new.reformat(out.width, out.height, "yuv420p")
            target.mux(out.encode(new))
        target.mux(out.encode())
    return file.getvalue()


CLIPS: dict[str, Callable[[Path], bytes]] = {
    "exact": lambda path: path.read_bytes(),
    "re-encoded": lambda path: recoded(path, 1, 0, False, 300_000),
    "resized": lambda path: recoded(path, 0.5, 0, False, 800_000),
    "cropped": lambda path: recoded(path, 1, 0.05, False, 800_000),
    "mirrored": lambda path: recoded(path, 1, 0, True, 800_000),
}


def texts(vocabulary: list[str]) -> dict[str, Callable[[str, Random], str]]:
    """Changes of a text; ``vocabulary`` has words as often as they occur."""

    def changed(text: str, random: Random) -> str:
        words = text.split()
        words[random.integers(0, len(words))] = str(random.choice(vocabulary))
        return " ".join(words)

    def removed(text: str, random: Random) -> str:
        words = text.split()
        del words[random.integers(0, len(words))]
        return " ".join(words)

    return {
        "exact": lambda text, random: text,
        "case": lambda text, random: text.upper() + " ",
        "word changed": changed,
        "word removed": removed,
    }


def planted_sources(
    experiment: Experiment, manifest: Manifest, rows: np.ndarray, random: Random
) -> dict[str, list[Any]]:
    """For each kind of change the content of a copy of each row."""
    features = experiment.features
    sources = [*manifest.sources(rows.tolist())]
    if features.reads_text:
        contents = [s if isinstance(s, str) else features.read(s) for s in sources]
        words = [word for text in contents for word in text.split()]
        return {kind: [change(text, random) for text in contents]
                for kind, change in texts(words).items()}  # fmt: skip
    if isinstance(features, AudioFeatures):
        decoded = [decode_audio(source, 3600.0) for source in sources]
        return {kind: [change(one.samples, one.sample_rate, random) for one in decoded]
                for kind, change in SOUNDS.items()}  # fmt: skip
    if isinstance(features, VideoFeatures):
        return {kind: [change(path) for path in sources] for kind, change in CLIPS.items()}
    return {}


def store_with_copies(name: str, num_planted: int, folder: Path):
    """The set's store with planted copies in its test part, and each kind's rows with the row that
    each was copied from."""
    experiment = Experiment.load(Path("configs") / f"{name}.yaml")
    features = experiment.features
    manifest = experiment.data.load(features)
    random = np.random.default_rng(0)
    split = manifest.column("split")
    train = np.flatnonzero(split == "train")
    rows = random.permutation(train)[:num_planted]
    kinds = planted_sources(experiment, manifest, rows, random)
    sources: list[Any] = [*manifest.sources()]
    if not kinds:  # arrays, or files that hold them
        if not manifest.contents:
            sources = [features.read(source) for source in sources]
        arrays = [np.asarray(getattr(one, "values", one)) for one in sources]
        others = random.choice(train, len(rows))
        kinds = {
            kind: [change(arrays[a], arrays[b], random) for a, b in zip(rows, others, strict=True)]
            for kind, change in signals().items()
        }
        sources = arrays
    parts, origin = {}, []
    for kind, contents in kinds.items():
        parts[kind] = np.arange(len(sources), len(sources) + len(contents))
        sources += contents
        origin += rows.tolist()
    columns: dict[str, Any] = {}
    if features.reads_text:
        columns["text"] = [s if isinstance(s, str) else features.read(s) for s in sources]
    elif isinstance(sources[0], np.ndarray):
        columns["contents"] = sources
    else:
        paths = []
        for number, source in enumerate(sources):
            path = source
            if isinstance(source, bytes):
                path = folder / f"{number}.bin"
                path.write_bytes(source)
            paths.append(str(Path(path).absolute()))
        columns["path"] = paths
    label = manifest.column("label").tolist() + [manifest.column("label")[n] for n in origin]
    full = make_manifest(
        label=label, split=split.tolist() + ["test"] * len(origin),
        id=[str(n) for n in range(len(label))], **columns,
    )  # fmt: skip
    store = prepare(full, features, folder / "store", {}).store
    return experiment, store, parts, dict(zip(range(len(split), len(label)), origin)), columns


def measure(name: str, num_planted: int) -> None:
    """Print the table's rows of one set."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, store, parts, origin, columns = store_with_copies(
            name, num_planted, Path(folder)
        )
        number = {id_: row for row, id_ in enumerate(store.index["id"].to_pylist())}
        planted = {
            number[str(row)] for rows in parts.values() for row in rows if str(row) in number
        }
        rows = Rows(store)
        before = np.flatnonzero(rows.split < 2)
        began = time.perf_counter()
        if store.is_tokens:
            find = similar_texts([columns["text"][int(i)] for i in store.index["id"].to_pylist()])
        else:
            find, _ = similar_signals(store, experiment.features)
        real = np.array([row for row in rows.part("test") if row not in planted])
        found, of = find(real, before)
        seconds = time.perf_counter() - began
        same = rows.content[found] == rows.content[of]
        pairs = len(real) * len(before)
        print(
            f"| {name} | real test rows | {len(found)} of {len(real)} "
            f"({int(same.sum())} equal), {len(found) / pairs:.6%} of {pairs:,} pairs "
            f"| {seconds:.1f} s |", flush=True,
        )  # fmt: skip
        for kind, ids in parts.items():
            held = np.array([number[str(n)] for n in ids if str(n) in number])
            wanted = {number[str(n)]: number.get(str(origin[n])) for n in ids if str(n) in number}
            found, of = find(held, before)
            right = sum(wanted[a] == b or rows.content[b] == rows.content[wanted[a] or 0]
                        for a, b in zip(found.tolist(), of.tolist()))  # fmt: skip
            print(
                f"| {name} | {kind} | {len(found)} of {len(held)} "
                f"({len(found) / len(held):.0%}), {right} with their original | |", flush=True,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--planted", type=int, default=100)
    parser.add_argument("--boards", type=Path, default=Path())
    options = parser.parse_args()
    os.chdir(options.boards)
    print("| set | copies | found | time |\n|---|---|---|---|")
    for name in options.sets.split(","):
        measure(name, options.planted)


if __name__ == "__main__":
    main()
