"""The files below a folder, with links followed and what systems write left out."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqbelt.data.sources.manifest import RAVEN_SIDECARS, SIDECAR
from seqbelt.data.sources.names import shorten
from seqbelt.errors import SettingsError
from seqbelt.words import count_of

SYSTEM_FOLDERS = frozenset(
    ("__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found",
     "system volume information", "__pycache__")
)  # fmt: skip
"""What operating systems and storage write beside everybody's files, in lower case."""
SYSTEM_FILES = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
_PARTS = re.compile(r"parts-[0-9a-f]{12}")
"""A folder of encoded sequences, in a store."""
WALKS = 8
"""How often a folder is listed by links within linked folders: links could multiply it."""


def list_files(
    folder: Path, notes: list[str] | None = None, *, lists_failed: bool = False
) -> Iterator[str]:
    """Paths of all files below a folder, relative, in sorted order, found lazily.

    Hidden files, those of the system and tables of segments, which are no recordings, are left
    out. Links to folders are followed, but not back to a folder that leads to them. What is
    notable is added to ``notes``. A folder below that cannot be listed is a SettingsError, or with
    ``lists_failed`` given by its own path, as something that cannot be read.
    """
    notes = [] if notes is None else notes
    walk = _Walk(folder)
    pending: list[_Folder] = [_Folder("", (), 0)]
    while pending:
        relative = pending[-1].path
        try:
            files, below = walk.scan(pending.pop())
        except OSError as error:  # all files in it would pass in silence
            if lists_failed and relative:
                notes.append(f"{relative[:80]}: cannot be listed ({error.strerror})")
                yield relative
                continue
            raise SettingsError(f"{folder / relative}: cannot be listed ({error})") from None
        if relative and _is_own(files, [item.path.rpartition("/")[2] for item in below]):
            walk.own.append(relative)
            continue
        prefix = f"{relative}/" if relative else ""
        for name in sorted(files):
            yield prefix + name
        pending += sorted(below, reverse=True)
    notes += walk.notes()


class _Walk:
    """Lists folders one by one, and keeps what is notable about them."""

    def __init__(self, root: Path) -> None:
        self.root, self.resolved_root = root, root.resolve()
        self.visits: Counter[tuple[int, int]] = Counter()
        self.own: list[str] = []
        self.followed: list[str] = []
        self.left_out: list[str] = []
        self.outside: list[str] = []
        self.special: list[str] = []

    def scan(self, folder: "_Folder") -> tuple[list[str], list["_Folder"]]:
        """Names of a folder's files, for there may be a million, and the folders in it."""
        files: list[str] = []
        below: list[_Folder] = []
        prefix = f"{folder.path}/" if folder.path else ""
        chain = (*folder.chain, _identity(self.root / folder.path))
        with os.scandir(self.root / folder.path) as scan:
            for entry in scan:
                if is_system_name(entry.name) or entry.name.endswith((SIDECAR, *RAVEN_SIDECARS)):
                    continue
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    below.append(_Folder(path, chain, folder.num_links))
                elif entry.is_symlink() and Path(entry).is_dir():
                    if self._follows(path, chain, folder.num_links):
                        below.append(_Folder(path, chain, folder.num_links + 1))
                elif entry.is_symlink():
                    files.append(entry.name)
                    target = Path(os.path.realpath(entry))  # a link to itself has no end
                    if target.exists() and not target.is_relative_to(self.resolved_root):
                        self.outside.append(f"{path} -> {target}")
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                else:
                    self.special.append(path)
        return files, below

    def _follows(self, path: str, chain: tuple[tuple[int, int], ...], num_links: int) -> bool:
        """Whether the link to a folder is followed."""
        identity, shown = (
            _identity(self.root / path),
            f"{path} -> {os.path.realpath(self.root / path)}",
        )
        if identity in chain or (num_links and self.visits[identity] >= WALKS):
            self.left_out.append(shown)
            return False
        self.visits[identity] += 1
        self.followed.append(shown)
        return True

    def notes(self) -> list[str]:
        """What is notable, in words."""
        notes: list[str] = []
        if self.own:
            notes.append(
                f"prepared data, models and runs of Seqbelt are left out: {shorten(self.own)}"
            )
        if self.followed:
            notes.append(f"links to folders are followed: {shorten(self.followed)}")
        if self.outside:
            notes.append(
                "links that lead out of the folder are read "
                f"({count_of(len(self.outside), 'file')}): {shorten(self.outside, 3)}"
            )
        if self.special:
            notes.append(f"pipes, sockets and devices are left out: {shorten(self.special)}")
        if self.left_out:
            notes.append(
                f"links back to folders that lead to them are left out: {shorten(self.left_out)}"
            )
        return notes


def _is_own(files: Sequence[str], folders: Sequence[str]) -> bool:
    """Whether a folder holds a store, a model or runs: written by commands, and no input of one."""
    return (
        any(_PARTS.fullmatch(name) for name in folders)
        or {"bundle.json", "weights.safetensors"} <= set(files)
        or ("run.json" in files and "bundle" in folders)
        or "mlflow.db" in files
    )


class _Folder(NamedTuple):
    """A folder still to be listed, the identities of those that led to it, and its own."""

    path: str
    chain: tuple[tuple[int, int], ...]
    num_links: int


def _identity(folder: Path) -> tuple[int, int]:
    """Identifies a folder whatever path leads to it."""
    try:
        status = folder.stat()
    except OSError:
        return (0, 0)  # listing it will say why
    return (status.st_dev, status.st_ino)


def is_system_name(name: str) -> bool:
    """Whether a file or folder is hidden, or written by a system and not by a person."""
    folded = name.casefold()
    return name.startswith((".", "~$")) or folded in SYSTEM_FOLDERS or folded in SYSTEM_FILES
