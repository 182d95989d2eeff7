"""Known data sets: where they come from, how they are checked, which rows are whose.

A set is taken from the folder that ``SEQBELT_DATA_MIRROR`` names, or fetched by URL, and written
under ``data/raw/<name>/`` with a manifest that holds its official split and its groups.
"""

import csv
import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from seqbelt.errors import SeqbeltError, SettingsError

RAW = Path("data/raw")
MIRROR = "SEQBELT_DATA_MIRROR"


@dataclass(frozen=True)
class Origin:
    """One file of a set: its place in a mirror, its URL, and the SHA-256 of what it holds.

    For an archive the checksum covers the members' names and contents, not the packing, because
    archives that hosts make on demand do not have stable bytes.
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


def find_known_set(name: str) -> Path:
    """The path of a known set, fetched and checked first if it is not there yet.

    Raises SettingsError for an unknown name, SeqbeltError where it can neither be found nor
    fetched or its checksum differs.
    """
    if name not in KNOWN_SETS:
        raise SettingsError(f"no known set '{name}'; there are: {', '.join(sorted(KNOWN_SETS))}")
    known, folder = KNOWN_SETS[name], RAW / name
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with FileLock(folder / ".lock"):
        if not ready.exists():
            for origin in known.origins:
                try:
                    _bring(origin, folder)
                except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
                    raise SeqbeltError(f"{origin.mirror}: cannot be unpacked ({error})") from None
            ready.write_text(known.build(folder).name, encoding="utf-8")
    return folder / ready.read_text(encoding="utf-8")


def _bring(origin: Origin, folder: Path) -> None:
    """Put an origin's content into ``folder``: an archive unpacked, a .gz file unzipped."""
    packed = folder / Path(origin.mirror).name
    mirror = os.environ.get(MIRROR)
    if mirror and (Path(mirror) / origin.mirror).is_file():
        shutil.copyfile(Path(mirror) / origin.mirror, packed)
    else:
        _download(origin, packed)
    if packed.name.endswith(".tar.gz"):
        members = folder / "unpacked"
        with tarfile.open(packed) as archive:
            archive.extractall(members, filter="data")  # refuses names that leave the folder
        found = _checksum(path for path in members.rglob(origin.members) if path.is_file())
        packed.unlink()
    else:
        if packed.suffix == ".gz":
            with gzip.open(packed) as compressed, packed.with_suffix("").open("wb") as plain:
                shutil.copyfileobj(compressed, plain)
            packed.unlink()
            packed = packed.with_suffix("")
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != origin.sha256:
        raise SeqbeltError(
            f"{origin.mirror}: checksum {found[:12]}… differs from the expected "
            f"{origin.sha256[:12]}…; delete {folder} and try again, or check the mirror"
        )


def _download(origin: Origin, target: Path) -> None:
    try:
        with urllib.request.urlopen(origin.url, timeout=60) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise SeqbeltError(
            f"{origin.url} cannot be fetched ({error}); put {origin.mirror} into a folder and "
            f"name that folder in the environment variable {MIRROR}"
        ) from None


def _checksum(paths: Iterable[Path]) -> str:
    """SHA-256 over the files' names and contents, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _write_manifest(folder: Path, rows: Iterable[dict[str, str]]) -> Path:
    rows = list(rows)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def _build_fsdd(folder: Path) -> Path:
    """The official split: takes 0 to 4 of each digit and speaker are the test part."""
    recordings = sorted((folder / "unpacked").rglob("*.wav"), key=lambda path: path.name)

    def row(path: Path) -> dict[str, str]:
        digit, speaker, take = path.stem.split("_")
        split = "test" if int(take) < 5 else "train"
        relative = path.relative_to(folder).as_posix()
        return {"path": relative, "label": digit, "split": split, "group": speaker}

    return _write_manifest(folder, map(row, recordings))


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
        ),
    )
}
