"""Folders of files as a source."""

import os
from collections.abc import Iterator
from pathlib import Path

from seqbelt.data.manifest import SIDECAR, SPLIT_NAMES, Manifest, make_manifest
from seqbelt.errors import SettingsError


def list_files(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative, in sorted order, found lazily.

    Hidden files and tables of segments, which are no recordings, are left out; links to folders
    are not followed, so a loop cannot trap us.
    """
    pending = [""]
    while pending:
        relative = pending.pop()
        prefix = f"{relative}/" if relative else ""
        files, below = [], []  # names alone: a folder may hold a million
        try:
            with os.scandir(folder / relative) as scan:
                for entry in scan:
                    if entry.name.startswith(".") or entry.name.endswith(SIDECAR):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    elif entry.is_file(follow_symlinks=False) or _links_to_file(entry):
                        files.append(entry.name)  # not a pipe, which would never end
        except OSError as error:  # all files in it would pass in silence
            raise SettingsError(f"{folder / relative}: cannot be listed ({error})") from None
        files.sort()
        for name in files:
            yield prefix + name
        pending.extend(prefix + name for name in sorted(below, reverse=True))


def _links_to_file(entry: os.DirEntry[str]) -> bool:
    """A link, also a broken one: it becomes a row with its reason. Not a link to a folder."""
    return entry.is_symlink() and not Path(entry).is_dir()


def read_class_folders(folder: Path) -> Manifest:
    """One sub-folder per class, or ``train/``, ``validation/``, ``test/`` above them."""
    names = sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")
    if not names:
        raise SettingsError(
            f"data.source: {folder} has no sub-folders; expected one per class, "
            "or train/, validation/, test/ with one per class in each"
        )
    has_splits = "train" in names and all(name in SPLIT_NAMES for name in names)
    paths, labels, splits = [], [], []
    for path in list_files(folder):
        parts = Path(path).parts
        split = SPLIT_NAMES[parts[0]] if has_splits and len(parts) > 1 else ""
        below = parts[1:] if split else parts
        if len(below) < 2:
            continue  # a file beside the class folders (a README, say) is no item
        paths.append(path)
        labels.append(below[0])
        splits.append(split)
    if not paths:
        raise SettingsError(f"data.source: no files in the class folders of {folder}")
    return make_manifest(path=paths, label=labels, split=splits, root=folder)


def read_recordings(folder: Path) -> Manifest:
    """Every file below a folder, or below its ``train/``, ``validation/``, ``test/``; no labels."""
    paths = list(list_files(folder))
    if not paths:
        raise SettingsError(f"data.source: no files in {folder}")
    firsts = [Path(path).parts[0] if len(Path(path).parts) > 1 else "" for path in paths]
    has_splits = "train" in firsts and all(name in SPLIT_NAMES for name in firsts)
    splits = [SPLIT_NAMES[name] if has_splits else "" for name in firsts]
    return make_manifest(path=paths, label=[""] * len(paths), split=splits, root=folder)
