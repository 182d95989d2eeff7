"""The files of a saved bundle: read once, and compared with the hashes written beside them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from seqbelt.errors import SeqbeltError
from seqbelt.inference.reference import FILE as REFERENCE

HASHES = "SHA256SUMS"


def write_hashes(folder: Path) -> None:
    """Write the hash of each file of a bundle in the format of ``sha256sum``."""
    lines = [f"{_hash(content)}  {name}\n" for name, content in read_files(folder).items()]
    partial = folder / f"{HASHES}.tmp"
    partial.write_text("".join(lines), "utf-8")
    partial.replace(folder / HASHES)


def hash_of_bundle(folder: Path) -> str:
    """One hash of all files of a saved bundle."""
    files = read_files(folder)
    return _hash("".join(f"{_hash(files[name])}  {name}\n" for name in sorted(files)).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_files(folder: Path) -> dict[str, bytes]:
    """The content of each file of a bundle by its name in the folder."""
    names = ["bundle.json", "weights.safetensors"]
    more = [path.name for path in folder.glob("weights-*.safetensors")]
    names += sorted(more, key=lambda name: (len(name), name))
    names += [REFERENCE] if (folder / REFERENCE).exists() else []
    names += [f"learned/{path.name}" for path in sorted((folder / "learned").glob("*"))]
    for name in names:
        path = folder / name
        if path.exists() and not path.is_file():  # reading a pipe would never end
            raise SeqbeltError(f"{path}: not a regular file")
    return {name: (folder / name).read_bytes() for name in names}


def check_hashes(folder: Path, files: Mapping[str, bytes], is_needed: bool) -> None:
    """Raise SeqbeltError with the file's name if one was changed, added or removed."""
    accept = (
        f"restore it, or, if the change is intended, accept the bundle with "
        f"'python -m seqbelt.inference.bundle {folder}'"
    )
    path = folder / HASHES
    if not path.is_file():
        if is_needed:
            raise SeqbeltError(f"{path}: is missing, so changed files cannot be detected; "
                               f"{accept}")  # fmt: skip
        return
    expected = {}
    for line in path.read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        expected[name] = digest
    for name in sorted(expected.keys() | files.keys()):
        if name not in files:
            raise SeqbeltError(f"{folder / name}: this file of the bundle is missing; {accept}")
        if name not in expected:
            raise SeqbeltError(f"{folder / name}: was not part of the bundle; {accept}")
        if expected[name] != _hash(files[name]):
            raise SeqbeltError(
                f"{folder / name}: was changed after the bundle was saved (its hash differs from "
                f"{HASHES}); {accept}"
            )
