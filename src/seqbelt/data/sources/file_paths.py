"""Where the paths of a manifest lead: also those that another system or program has written."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from seqbelt.data.sources.manifest import Manifest

MAX_ABOVE = 2
"""Folders above a manifest from which its paths may be meant."""
_AROUND = " \t\r\n\"'\u00a0\u3000\u200b\u200e\u200f\u2060\ufeff"
"""Blanks, quotation marks and what cannot be seen."""


def find_files(manifest: Manifest) -> Manifest:
    """The same manifest, with the files that its paths mean where those are not the very names.

    Tried in this order, each beside the manifest, then from the working directory, then from the
    folders above the manifest: the path as it is, without blanks around it, as a ``file://``
    address, with ``/`` for a backslash, without percent escapes; then other Unicode forms and
    another case of the names that are there. What was taken otherwise than written is added to the
    notes.
    """
    if manifest.contents and manifest.joined is None:
        return manifest
    overrides, notes = dict(manifest.overrides), list(manifest.notes)
    names = [] if manifest.joined is None else manifest.joined.path_columns
    for name in dict.fromkeys(["path", "segments", *names]):
        if name not in manifest.table.column_names or (manifest.contents and name == "path"):
            continue
        paths, added = _find_all(manifest.root, manifest.paths(name))
        if paths:
            overrides[name] = {**overrides.get(name, {}), **paths}
        notes += added
    return replace(manifest, overrides=overrides, notes=tuple(notes))


def _find_all(root: Path, given: Sequence[str]) -> tuple[dict[int, str], list[str]]:
    finder = _Finder(root)
    _listing.cache_clear()  # folders may have changed
    path_of_row: dict[int, str] = {}
    ways: dict[str, list[str]] = {}
    for row, path in enumerate(given):
        if not path or os.path.lexists(finder.beside + path):
            continue
        match = finder.find(path)
        if match is not None:
            path_of_row[row], way = match
            ways.setdefault(way, []).append(path)
    notes = [
        f"{len(paths):,} paths of {root} are read {way} (the first: '{paths[0]}')"
        for way, paths in ways.items()
    ]
    return path_of_row, notes


class _Finder:
    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.beside = "" if self.root == "." else self.root.rstrip("/") + "/"

    def find(self, given: str) -> tuple[str, str] | None:
        """The path that exists, and how the given one is read for it."""
        spellings = dict(_spellings(given))
        above = Path(self.root).absolute().parents[:MAX_ABOVE]
        folders = {"": self.root, "from the working directory": "."}
        folders |= {f"from {folder}, above the manifest": str(folder) for folder in above}
        for where, folder in folders.items():
            for spelling, how in spellings.items():
                if os.path.lexists(Path(folder, spelling)):
                    return self._answer(folder, spelling), _join(how, where)
        for where, folder in folders.items():
            for spelling, how in spellings.items():
                match = _match(folder, spelling)
                if match is not None:
                    return self._answer(folder, match[0]), _join(how, match[1], where)
        return None

    def _answer(self, folder: str, path: str) -> str:
        return path if folder == self.root else str(Path(folder, path).absolute())


def _join(*ways: str) -> str:
    return ", ".join(way for way in ways if way) or "as they are"


def _spellings(given: str) -> Iterator[tuple[str, str]]:
    """Other spellings of a path, each with what was done, from the least on."""
    steps: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("without what stands around them", lambda path: path.strip(_AROUND)),
        ("as addresses of files", _from_url),
        ("with / for \\", lambda path: path.replace("\\", "/")),
        ("without percent escapes", unquote),
        ("from the home folder", lambda path: os.path.expanduser(path)),  # noqa: PTH111
    )
    path, done = given, []
    yield path, ""
    for how, change in steps:
        changed = change(path)
        if changed != path and changed:
            path = changed
            done.append(how)
            yield path, ", ".join(done)


def _from_url(path: str) -> str:
    if not path.casefold().startswith("file:"):
        return path
    return unquote(urlsplit(path).path)


def _match(place: str, path: str) -> tuple[str, str] | None:
    """A path whose names are there in another Unicode form or case, each only once."""
    parts = Path(path).parts
    location, way = (Path(parts[0]), 0) if Path(path).is_absolute() else (Path(), 0)
    for part in parts[1:] if Path(path).is_absolute() else parts:
        folder = str(Path(place, location))
        if part in (".", "..") or os.path.lexists(Path(folder, part)):
            location /= part
            continue
        for level, form in enumerate((_same_form, _same_case), start=1):
            names = _listing(folder, form).get(form(part), ())
            if len(names) == 1:
                location, way = location / names[0], max(way, level)
                break
        else:
            return None
    return str(location), ("", "in another Unicode form", "in another case")[way]


def _same_form(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _same_case(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@lru_cache(maxsize=4096)
def _listing(folder: str, form: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    by_form: dict[str, tuple[str, ...]] = {}
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return by_form
    for name in names:
        by_form[form(name)] = (*by_form.get(form(name), ()), name)
    return by_form
