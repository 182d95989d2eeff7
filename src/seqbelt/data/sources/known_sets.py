"""The known data sets: origin, checksum, official protocol, and how files become a manifest."""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Origin:
    """One file of a set: its place in a mirror, its URL, and the SHA-256 of what it holds.

    For an archive the checksum covers the members' names and contents, not the packing, because
    archives that hosts make on demand do not have stable bytes; for a compressed file it covers
    the plain content.
    """

    mirror: str
    url: str
    sha256: str
    members: str = "*"
    """Which files of an archive belong to the set."""


@dataclass(frozen=True)
class KnownSet:
    """A data set with an official protocol."""

    name: str
    about: str
    licence: str
    origins: tuple[Origin, ...]
    build: Callable[[Path], Path]
    """Turns the fetched files in a folder into what ``data.source`` reads; returns its path."""
    protocol: str = ""
    """How the set is split by everyone who quotes a figure for it."""


def _write_manifest(folder: Path, rows: Iterable[dict[str, str]]) -> Path:
    rows = list(rows)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def _files(folder: Path, pattern: str) -> list[Path]:
    """Unpacked files, relative to the set's folder, in the order of their names."""
    paths = sorted((folder / "unpacked").rglob(pattern), key=lambda path: path.name)
    return [path.relative_to(folder) for path in paths]


def _build_fsdd(folder: Path) -> Path:
    """The official split: takes 0 to 4 of each digit and speaker are the test part."""

    def row(path: Path) -> dict[str, str]:
        digit, speaker, take = path.stem.split("_")
        split = "test" if int(take) < 5 else "train"
        return {"path": path.as_posix(), "label": digit, "split": split, "group": speaker}

    return _write_manifest(folder, map(row, _files(folder, "*.wav")))


def _build_nsmc(folder: Path) -> Path:
    """Quotation marks in the original are text, so it is read without quoting."""

    def rows() -> Iterator[dict[str, str]]:
        for split in ("train", "test"):
            lines = (folder / f"ratings_{split}.txt").read_text(encoding="utf-8").split("\n")
            for line in filter(None, lines[1:]):
                name, text, label = line.split("\t")
                yield {"id": name, "text": text, "label": label, "split": split}

    return _write_manifest(folder, rows())


def _build_sst2(folder: Path) -> Path:
    def rows() -> Iterator[dict[str, str]]:
        for name, split in (("train", "train"), ("dev", "validation"), ("test", "test")):
            lines = (folder / f"{name}.tsv").read_text(encoding="utf-8").split("\n")
            for number, line in enumerate(filter(None, lines)):
                text, label = line.split("\t")
                yield {"id": f"{name}-{number}", "text": text, "label": label, "split": split}

    return _write_manifest(folder, rows())


ACTIONS = (
    "swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "basketball shoot",
    "draw X", "draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling",
    "boxing", "baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock",
    "catch", "pick up and throw", "jog", "walk", "sit to stand", "stand to sit", "lunge", "squat",
)  # fmt: skip


def _build_utd_mhad(folder: Path) -> Path:
    """Cross-subject, as in the original paper: subjects 1, 3, 5, 7 train, the others test."""

    def row(path: Path) -> dict[str, str]:
        action, subject, _, _ = path.stem.split("_")
        number = int(subject[1:])
        return {
            "path": path.as_posix(),
            "label": ACTIONS[int(action[1:]) - 1],
            "split": "train" if number % 2 else "test",
            "group": subject,
        }

    return _write_manifest(folder, map(row, _files(folder, "*_skeleton.mat")))


INTERACTIONS = ("hand shaking", "hugging", "kicking", "pointing", "punching", "pushing")


def _build_ut_interaction(folder: Path) -> Path:
    """No official split: the protocol leaves one of the ten sequences out, which are the groups."""

    def row(path: Path) -> dict[str, str]:
        _, sequence, label = path.stem.split("_")
        return {"path": path.as_posix(), "label": INTERACTIONS[int(label)], "group": sequence}

    return _write_manifest(folder, map(row, _files(folder, "*.avi")))


_NSMC = "https://raw.githubusercontent.com/e9t/nsmc/cc0670e872d4ac27bfe36c87456783004b39ef6c"
_SST2 = (
    "https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/"
    "457ffd83de90a9d6d472d8ffc31bbffe40a8b236/data/SST2"
)
_UEA = (
    "https://raw.githubusercontent.com/sktime/sktime/"
    "7bd7d1620c0656f3210eeb850bb1c0034159ee47/sktime/datasets/data"
)


def _uea(name: str, about: str, archive: str, train: str, test: str) -> KnownSet:
    return KnownSet(
        name=name,
        about=about,
        licence="not stated; cite Bagnall et al. 2018 and the data's authors",
        origins=tuple(
            Origin(
                mirror=f"uea/{archive}_{part}.ts",
                url=f"{_UEA}/{archive}/{archive}_{part}.ts",
                sha256=sha256,
            )
            for part, sha256 in (("TRAIN", train), ("TEST", test))
        ),
        build=lambda folder: folder / f"{archive}_TRAIN.ts",
        protocol="the archive's _TRAIN.ts and _TEST.ts files",
    )


KNOWN_SETS = {
    known.name: known
    for known in (
        KnownSet(
            name="fsdd",
            about="Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers",
            licence="CC BY-SA 4.0",
            origins=(
                Origin(
                    mirror="fsdd/fsdd.tar.gz",
                    url="https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/"
                    "26eb9aaf76e81b692f806f9140c2d2777410d7a1",
                    sha256="a2e8a660492f28d9eed6270b290d26cbc5c81d6077ce87d3c0ad5adf4d4ee696",
                    members="*.wav",
                ),
            ),
            build=_build_fsdd,
            protocol="takes 0 to 4 of each digit and speaker are the test",
        ),
        KnownSet(
            name="nsmc",
            about="Naver Sentiment Movie Corpus: 200,000 Korean reviews, negative 0, positive 1",
            licence="CC0 1.0",
            origins=(
                Origin(
                    mirror="nsmc/ratings_train.txt.gz",
                    url=f"{_NSMC}/ratings_train.txt",
                    sha256="e03b7d14e9e41be8d464a28057cd25d7396c53e67aa7fd5f7e552c59b0ee2940",
                ),
                Origin(
                    mirror="nsmc/ratings_test.txt.gz",
                    url=f"{_NSMC}/ratings_test.txt",
                    sha256="8ac9f64052f11dbf6ae0acb5e038f03d90a76f0eda7820cfb3a92d02edfcebda",
                ),
            ),
            build=_build_nsmc,
            protocol="150,000 reviews to train, 50,000 to test",
        ),
        KnownSet(
            name="sst2",
            about="Stanford Sentiment Treebank: 9,613 English sentences, negative 0, positive 1",
            licence="not stated; cite Socher et al. 2013",
            origins=tuple(
                Origin(mirror=f"sst2/{part}.tsv", url=f"{_SST2}/{part}.tsv", sha256=sha256)
                for part, sha256 in (
                    ("train", "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
                    ("dev", "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
                    ("test", "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7"),
                )
            ),
            build=_build_sst2,
            protocol="6,920 sentences to train, 872 to validate, 1,821 to test",
        ),
        _uea(
            "japanese_vowels",
            "640 utterances of a vowel by nine speakers, 12 channels, 7 to 29 steps",
            "JapaneseVowels",
            "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
            "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
        ),
        _uea(
            "basic_motions",
            "80 recordings of four activities by a smart watch, 6 channels, 100 steps",
            "BasicMotions",
            "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
            "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
        ),
        KnownSet(
            name="utd_mhad",
            about="UTD-MHAD, skeletons: 861 recordings of 27 actions by eight subjects",
            licence="not stated; cite Chen, Jafari & Kehtarnavaz 2015",
            origins=(
                Origin(
                    mirror="utd_mhad_skeleton/utd_mhad_skeleton.tar.gz",
                    url="https://codeload.github.com/woo-chia-wei/kinect-sequence-classification/"
                    "tar.gz/65e9b13950d7971c8d1e49e960f6796bd0dc9257",
                    sha256="d4348fda7426a6652a07c683de9334e655da96a1da50b993048a2a0582408240",
                    members="*_skeleton.mat",
                ),
            ),
            build=_build_utd_mhad,
            protocol="cross-subject: subjects 1, 3, 5, 7 train, the others test",
        ),
        KnownSet(
            name="ut_interaction",
            about="UT-Interaction, segmented set 1: 60 clips of six interactions, ten sequences",
            licence="not stated; cite Ryoo & Aggarwal 2010",
            origins=(
                Origin(
                    mirror="ut_interaction/ut_interaction_set1.tar.gz",
                    url="https://codeload.github.com/deliangWu/"
                    "Video-Interaction-Recognition-and-Detection-/tar.gz/"
                    "ae10bcd4278a832749a5a960ef1283c261b9a6a7",
                    sha256="ddd9720f9eaf16f2156a5f286d90302fe9b7ed85496fb13fdbcb01de02ad5cab",
                    members="[0-9]*_[0-9]*_[0-9].avi",
                ),
            ),
            build=_build_ut_interaction,
            protocol="leave one of the ten sequences out: data.folds: group",
        ),
    )
}
