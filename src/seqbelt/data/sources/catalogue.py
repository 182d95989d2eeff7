"""Known data sets: where they come from, how they are checked, which rows are whose.

A set is taken from the folder that ``SEQBELT_DATA_MIRROR`` names, or fetched by URL, and written
under ``data/raw/<name>/`` with a manifest that holds its official split and its groups.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from seqbelt.data.sources.known_sets import KNOWN_SETS, Origin
from seqbelt.errors import SeqbeltError, SettingsError

RAW = Path("data/raw")
MIRROR = "SEQBELT_DATA_MIRROR"


def find_known_set(name: str) -> Path:
    """The path of a known set, fetched and checked first if it is not there yet.

    Raises SettingsError for an unknown name, SeqbeltError where it can neither be found nor
    fetched or its checksum differs.
    """
    if name not in KNOWN_SETS:
        raise SettingsError(
            f"no known set '{name}' to fetch; there are: {', '.join(sorted(KNOWN_SETS))}. "
            "Generated sets are made: seqbelt data make"
        )
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
        checksum = _checksum(path for path in members.rglob(origin.members) if path.is_file())
        packed.unlink()
    else:
        content = packed.read_bytes()
        if content[:2] == b"\x1f\x8b":  # a mirror may keep compressed what the host gives plain
            content = gzip.decompress(content)
            packed.unlink()
            (folder / packed.name.removesuffix(".gz")).write_bytes(content)
        checksum = hashlib.sha256(content).hexdigest()
    if checksum != origin.sha256:
        raise SeqbeltError(
            f"{origin.mirror}: checksum {checksum[:12]}… differs from the expected "
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
