"""The sets of a board, laid out in a work folder: unpacked, split, with a config each."""

import csv
import hashlib
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seqbelt.settings import override
from seqbelt.yaml_reading import read_yaml

SETS = Path(__file__).parent / "board_sets.yaml"


@dataclass(frozen=True)
class BoardSet:
    """One row of the board."""

    name: str
    kind: str
    settings: dict[str, Any]
    source: str
    """What ``data.source`` names, relative to the work folder."""
    archive: str = ""
    """Name of the packed set below DATA/board; empty for a known set."""
    test: dict[str, Any] = field(default_factory=dict)
    extra: str = ""
    """``beside`` for a row that is shown and not counted, ``on demand`` for one that is trained
    only when it is named; empty for a set of the board."""
    seeds: int | None = None
    """LSTMs to train, where the command does not say."""
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    """``recurrent`` and ``best``, each with ``method``, ``accuracy`` or ``macro_f1`` in per cent,
    and a ``note`` where the figure does not answer the same question."""

    @property
    def base(self) -> str:
        """The set whose data it reads: its own name, but for an extra row."""
        return self.archive or self.source

    def config(self) -> dict[str, Any]:
        """The three-line config: name, source, kind, and what reading and splitting need."""
        values = {"name": self.name, "data": {"source": self.source}}
        if "groups" in self.test:
            values["data"]["test_groups"] = self.test["groups"]
        lines = [f"{key}={yaml.safe_dump(value)}" for key, value in self.settings.items()]
        return override(values, lines)


def read_sets(path: Path = SETS) -> dict[str, BoardSet]:
    """All sets of the data file, by name."""
    return {name: _set(name, dict(about)) for name, about in read_yaml(path).items()}


def _set(name: str, about: dict[str, Any]) -> BoardSet:
    archive = about.pop("archive", False)
    archive = name if archive is True else archive or ""
    source = about.pop("source", "manifest.csv")
    if "hash" in about.get("test", {}):
        source = "manifest_split.csv"
    known = about.pop("known", name)
    return BoardSet(
        name=name,
        archive=archive,
        source=f"raw/{archive}/{source}" if archive else known,
        **about,
    )


def lay_out(one: BoardSet, data: Path, work: Path) -> Path:
    """Unpack a set below ``work/raw`` and write its config; returns the config's path."""
    if one.archive:
        _unpack(one.archive, data / "board", work / "raw")
        if "hash" in one.test:
            split_by_hash(work / "raw" / one.archive, one.test["hash"])
    return write_config(one, work)


def write_config(one: BoardSet, work: Path) -> Path:
    """Write a set's config below ``work/configs``; returns its path."""
    path = work / "configs" / f"{one.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(one.config(), sort_keys=False, allow_unicode=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def _unpack(name: str, packed: Path, raw: Path) -> None:
    if (raw / name / ".ready").exists():
        return
    archive = packed / f"{name}.tar.gz"
    if not archive.is_file():
        raise SystemExit(f"{archive}: no such file; DATA is the folder with fsdd/, board/, …")
    with tarfile.open(archive) as opened:
        opened.extractall(raw, filter="data")
    (raw / name / ".ready").touch()


def split_by_hash(folder: Path, share: float) -> None:
    """Write ``manifest_split.csv`` beside ``manifest.csv``: a share of the rows becomes the test.

    Equal texts stay on one side.
    """
    target = folder / "manifest_split.csv"
    if target.exists():
        return
    csv.field_size_limit(sys.maxsize)
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    test = smallest_hashes([row["text"] for row in rows], share)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "split"])
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "split": "test" if row["text"] in test else "train"})


def smallest_hashes(texts: list[str], share: float) -> set[str]:
    """The texts that make up ``share`` of the rows, taken by the order of their SHA-256."""
    hashes = sorted((hashlib.sha256(text.encode()).digest(), text) for text in texts)
    return {text for _, text in hashes[: round(share * len(texts))]}
