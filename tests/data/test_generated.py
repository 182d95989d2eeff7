import csv
import wave
from collections import Counter

import av
import numpy as np
import pytest

from seqbelt.data.generated.demo_data import AXES, SIDES, VOWELS, DemoData, _events
from seqbelt.data.generated.memory_tasks import (
    Adding,
    Copy,
    SequentialDigits,
    TemporalOrder,
)
from seqbelt.errors import SettingsError

SIZES = {"num_train": 600, "num_validation": 50, "num_test": 100}
TASKS = [
    Adding(kind="adding", lag=31, **SIZES),
    TemporalOrder(kind="temporal_order", lag=40, **SIZES),
    TemporalOrder(kind="temporal_order", num_relevant=3, **SIZES),
    Copy(kind="copy", lag=20, **SIZES),
    SequentialDigits(kind="sequential_digits", lag=2, **SIZES),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_what_every_task_yields(task):
    items = list(task.generate())
    assert Counter(split for split, _, _ in items) == {"train": 600, "validation": 50, "test": 100}
    for _, steps, label in items:
        assert steps.dtype == np.float32
        assert steps.ndim == 2
        assert isinstance(label, str)
    contents = {steps.tobytes() for _, steps, _ in items}
    assert len(contents) == len(items)  # no sequence twice, so none on both sides of a split


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_the_seed_decides(task):
    def content(one):
        return [(split, steps.tobytes(), label) for split, steps, label in one.generate()]

    assert content(task) == content(task)
    assert content(task) != content(task.model_copy(update={"seed": 1}))


def test_a_longer_split_starts_like_a_shorter_one():
    short, long = (
        [steps for split, steps, _ in TASKS[1].model_copy(update={"num_train": n}).generate()]
        for n in (300, 700)
    )
    assert all(np.array_equal(a, b) for a, b in zip(short[:300], long))


def test_adding_answers_the_marked_sum():
    labels = Counter()
    for _, steps, label in TASKS[0].generate():
        first, second = np.flatnonzero(steps[:, 1])
        assert first < 15 <= second < 31
        assert set(steps[:, 1]) == {0, 1}
        assert steps[:, 0].min() >= 0
        assert steps[:, 0].max() < 1
        total = float(steps[first, 0]) + float(steps[second, 0])
        assert label == ("above" if total > 1 else "below")
        labels[label] += 1
    assert 0.4 < labels["above"] / labels.total() < 0.6


@pytest.mark.parametrize(
    ("num_relevant", "ranges", "answers"),
    [
        (2, [(10, 20), (50, 60)], {"XX": "Q", "XY": "R", "YX": "S", "YY": "U"}),
        (
            3,
            [(10, 20), (33, 43), (66, 76)],
            {"XXX": "Q", "XXY": "R", "XYX": "S", "XYY": "U",
             "YXX": "V", "YXY": "A", "YYX": "B", "YYY": "C"},
        ),
    ],
)  # fmt: skip
def test_temporal_order_is_the_papers(num_relevant, ranges, answers):
    task = TASKS[1].model_copy(update={"num_relevant": num_relevant, "lag": 100, "num_train": 3000})
    places, lengths, seen = [set() for _ in ranges], set(), set()
    for _, steps, label in task.generate():
        assert (steps.sum(axis=1) == 1).all()
        text = "".join("abcdXYEB"[index] for index in steps.argmax(axis=1))
        relevant = [index for index, symbol in enumerate(text) if symbol in "XY"]
        assert answers["".join(text[index] for index in relevant)] == label
        assert text[0] == "E"
        assert text[-1] == "B"
        assert set(text[1:-1]) <= set("abcdXY")
        for place, index in zip(places, relevant, strict=True):
            place.add(index)
        lengths.add(len(text))
        seen.add(label)
    assert lengths == set(range(100, 111))
    assert places == [set(range(low, high + 1)) for low, high in ranges]
    assert seen == set(answers.values())


@pytest.mark.parametrize("lag", [10, 11, 19, 25])
@pytest.mark.parametrize("num_relevant", [2, 3])
def test_short_temporal_order_keeps_its_symbols_apart(lag, num_relevant):
    task = TASKS[1].model_copy(update={"num_relevant": num_relevant, "lag": lag})
    for _, steps, _ in task.generate():
        assert steps[:, 4:6].sum() == num_relevant
        assert steps[0, 6] == 1
        assert steps[-1, 7] == 1


def test_copy_asks_for_one_of_the_symbols():
    for _, steps, label in TASKS[3].generate():
        symbols = steps.argmax(axis=1)
        assert len(symbols) == 10 + 20 + 1
        assert (symbols[:10] < 8).all()
        assert (symbols[10:-1] == 8).all()
        assert label == f"s{symbols[symbols[-1] - 9]}"


@pytest.mark.parametrize(("by", "shape"), [("row", (10, 8)), ("pixel", (66, 1))])
def test_digits_are_the_images(by, shape):
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    known = {(image / 16).astype(np.float32).tobytes(): str(d) for image, d in zip(images, digits)}
    for _, steps, label in TASKS[4].model_copy(update={"by": by}).generate():
        assert steps.shape == shape
        assert known[steps[:-2].tobytes()] == label
        assert not steps[-2:].any()


def test_more_digits_than_there_are_is_explained():
    with pytest.raises(SettingsError, match="1,797"):
        list(SequentialDigits(kind="sequential_digits", num_train=1797).generate())


def test_settings_of_a_task_make_it_again():
    for task in TASKS:
        assert type(task).parse(task.to_dict()) == task


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    return {
        kind: DemoData(kind=kind, num_per_class=16).write(root / kind)
        for kind in ("audio", "text", "signal", "video")
    }


@pytest.mark.parametrize(
    ("kind", "classes"), [("audio", VOWELS), ("signal", AXES), ("video", SIDES)]
)
def test_folders_hold_the_classes_and_part_the_groups(demo, kind, classes):
    groups = {}
    for part, count in (("train", 12), ("test", 4)):
        assert {folder.name for folder in (demo[kind] / part).iterdir()} == set(classes)
        for label in classes:
            files = list((demo[kind] / part / label).iterdir())
            assert len(files) == count
            groups.setdefault(part, set()).update(file.name.split("_")[0] for file in files)
    assert groups["train"].isdisjoint(groups["test"])


@pytest.mark.parametrize("kind", ["audio", "text", "signal", "video"])
def test_demo_data_repeats_by_seed(demo, tmp_path, kind):
    def content(path):
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return [file.read_bytes() for file in files]

    again = DemoData(kind=kind, num_per_class=16).write(tmp_path / "again")
    other = DemoData(kind=kind, num_per_class=16, seed=1).write(tmp_path / "other")
    assert content(demo[kind]) == content(again)
    assert content(demo[kind]) != content(other)


def test_the_class_of_a_recording_is_its_last_vowel(demo):
    """By a rough look at the spectrum of the last loud 35 ms."""
    num_right = []
    for path in demo["audio"].rglob("*.wav"):
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels()) == (8000, 1)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        assert 0.99 <= len(samples) / 8000 <= 1.81
        assert 0.18 < np.abs(samples).max() < 0.92
        loudness = np.convolve(samples**2, np.full(80, 1 / 80), "same")
        end = np.flatnonzero(loudness > 0.3 * np.quantile(loudness, 0.98))[-1]
        power = np.abs(np.fft.rfft(samples[max(0, end - 280) : end], 8000)) ** 2
        middle, high = power[1050:1450].max(), power[1900:2600].max()
        vowel = "i" if high > max(middle, 0.15 * power.max()) else "u"
        vowel = "a" if vowel == "u" and middle > 0.12 * power.max() else vowel
        num_right.append(vowel == path.parent.name)
    assert np.mean(num_right) > 0.85


def test_the_class_of_a_signal_is_the_axis_of_its_last_push(demo):
    """By the last stretch of the smoothed axes above half of their peaks."""
    num_right = []
    for path in demo["signal"].rglob("*.csv"):
        motion = np.loadtxt(path, delimiter=",", skiprows=1)
        assert path.read_text().startswith("acc_x,acc_y,acc_z\n")
        assert 100 <= len(motion) < 200
        smooth = np.stack([np.convolve(axis, np.ones(5) / 5, "same") for axis in motion.T], axis=1)
        smooth -= np.median(smooth, axis=0)
        smooth /= np.quantile(smooth, 0.97, axis=0)
        end = np.flatnonzero((smooth > 0.55).any(axis=1))[-1]
        axis = AXES[smooth[max(0, end - 4) : end + 1].mean(axis=0).argmax()]
        num_right.append(axis == path.parent.name)
    assert np.mean(num_right) > 0.85


def test_the_class_of_a_clip_is_the_last_side_of_the_square(demo):
    for path in sorted(demo["video"].rglob("*.mp4"))[::5]:  # of all classes
        with av.open(str(path)) as container:
            frames = np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])
        assert 48 <= len(frames) <= 72
        bright = np.argwhere(frames > 115)
        places = np.array([
            bright[bright[:, 0] == index, 1:].mean(axis=0) for index in range(len(frames))
        ])  # fmt: skip
        ways = places - (48 - 1) / 2
        down, right = ways[np.flatnonzero(np.abs(ways).max(axis=1) > 6)[-1]]
        answer = {"down": down, "up": -down, "right": right, "left": -right}
        assert max(answer, key=answer.get) == path.parent.name, path


def test_each_kind_of_event_is_there_twice():
    random = np.random.default_rng(0)
    for last in VOWELS:
        assert all(
            sorted(events) == sorted([*VOWELS, *VOWELS]) and events[-1] == last
            for events in (_events(last, VOWELS, random) for _ in range(20))
        )


NEGATIVE = {"bad", "poor", "dull", "awful", "terrible"}
NEGATIVE |= {"나빠요", "지루해요", "불편해요", "더러워요", "이상해요"}


def test_the_second_clause_of_a_sentence_decides(demo):
    with demo["text"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["label"] for row in rows) == {"positive": 32, "negative": 32}
    assert Counter(row["split"] for row in rows) == {"train": 48, "test": 16}
    assert len({row["text"] for row in rows}) == len(rows)
    for row in rows:
        first, second = row["text"].replace(" but ", " 하지만 ").split(" 하지만 ")
        senses = [
            (clause.split()[-1] in NEGATIVE) == (" not " in clause or " 안 " in clause)
            for clause in (first, second)
        ]
        assert senses[0] != senses[1]
        assert row["label"] == ("positive" if senses[1] else "negative")


def test_bags_of_words_do_not_tell_the_label(tmp_path):
    """The order must matter: a linear model on word counts stays near chance."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    with DemoData(kind="text", num_per_class=400).write(tmp_path).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = CountVectorizer(token_pattern=r"\S+").fit_transform([row["text"] for row in rows])
    labels = np.array([row["label"] for row in rows])
    train = np.array([row["split"] == "train" for row in rows])
    model = LogisticRegression().fit(counts[train], labels[train])
    assert model.score(counts[~train], labels[~train]) < 0.58
