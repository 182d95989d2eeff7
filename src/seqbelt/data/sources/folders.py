"""Folders of files as a source."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqbelt.data.sources.file_walk import is_system_name, list_files
from seqbelt.data.sources.manifest import Manifest, make_manifest
from seqbelt.data.sources.names import clean_name, part_of, resembles_part, shorten
from seqbelt.errors import SettingsError
from seqbelt.words import count_of


def read_class_folders(
    folder: Path, split_folders: bool | None = None, labels_as_written: bool = False
) -> Manifest:
    """One sub-folder per class; or folders of parts (``train/``, ``validation/``, ``test/`` in any
    usual spelling) above them, or below each of them.

    ``split_folders`` states whether folders are parts; None finds out. Raises SettingsError where
    there is nothing to read, or where names and contents leave it open.
    """
    notes: list[str] = []
    names = _folder_names(folder)
    if not names:
        raise SettingsError(
            f"data.source: {folder} has no sub-folders; expected one per class, "
            "or train/, validation/, test/ with one per class in each"
        )
    paths = [path.split("/") for path in list_files(folder, notes)]
    loose = [path[0] for path in paths if len(path) == 1]
    tops = _look_below(names, paths)
    parts = _parts_above(folder, tops, split_folders, by_class=True)
    below = {} if parts or split_folders is False else _parts_below(folder, tops)
    kept, labels, splits, deep = [], [], [], dict[str, int]()
    for path in paths:
        if len(path) == 1 or (parts and path[0] not in parts):
            continue
        inner = path[1:] if parts else path
        if len(inner) < 2:
            loose.append("/".join(path))
            continue  # a file beside the class folders (a README, say) is no item
        split = parts.get(path[0], "")
        if not parts and len(path) > 2 and path[1] in below:
            split = below[path[1]]
            inner = [inner[0], *inner[2:]]
        if len(inner) > 2:
            where = "/".join(path[:-1])
            deep[where] = deep.get(where, 0) + 1
        kept.append("/".join(path))
        labels.append(inner[0] if labels_as_written else clean_name(inner[0]))
        splits.append(split)
    if not kept:
        raise SettingsError(f"data.source: no files in the class folders of {folder}")
    if parts:
        notes += _describe_parts(parts, names)
    if below:
        read = shorten(f"{name}/ as {part}" for name, part in sorted(below.items()))
        notes.append(f"parts below the class folders: {read}")
    if deep:
        notes.append(
            f"{count_of(sum(deep.values()), 'file')} in folders below class folders "
            f"({shorten(sorted(deep), 3)}) read with the class of the folder above"
            f"{_like_classes(tops)}"
        )
    if loose:
        notes.append(
            f"left out beside the class folders: {count_of(len(loose), 'file')}, "
            f"{shorten(loose, 3)}"
        )
    notes += _empty_classes(folder, names, parts, tops)
    _refuse_wrapper(folder, tops, parts)
    about = [f"{folder}: {note}" for note in notes]
    return make_manifest(path=kept, label=labels, split=splits, root=folder, notes=about)


def read_recordings(folder: Path, split_folders: bool | None = None) -> Manifest:
    """Every file below a folder, or below its folders of parts; no labels."""
    notes: list[str] = []
    paths = without_label_tracks(list(list_files(folder, notes)))
    if not paths:
        raise SettingsError(f"data.source: no files in {folder}")
    split_paths = [path.split("/") for path in paths]
    tops = _look_below(_folder_names(folder), split_paths)
    parts = _parts_above(folder, tops, split_folders, by_class=False)
    if parts:
        loose = [path[0] for path in split_paths if len(path) == 1]
        split_paths = [path for path in split_paths if path[0] in parts and len(path) > 1]
        notes += _describe_parts(parts, list(tops))
        if loose:
            left_out = f"{count_of(len(loose), 'file')}, {shorten(loose, 3)}"
            notes.append(f"left out beside them: {left_out}")
    return make_manifest(
        path=["/".join(path) for path in split_paths],
        label=[""] * len(split_paths),
        split=[parts.get(path[0], "") for path in split_paths],
        root=folder,
        notes=[f"{folder}: {note}" for note in notes],
    )


def without_label_tracks(paths: Sequence[str]) -> list[str]:
    """Without Audacity's labels: .txt files that have another file of the same name beside them."""
    others = {path.rpartition(".")[0] for path in paths if not path.endswith(".txt")}
    return [path for path in paths if not path.endswith(".txt") or path[:-4] not in others]


class _Top(NamedTuple):
    """What lies in a folder right below the source."""

    num_files: int
    """Right in it."""
    below: set[str]
    """Its sub-folders that hold files, at any depth."""
    grandchildren: set[str]
    """The sub-folders of those."""


def _like_classes(tops: dict[str, _Top]) -> str:
    """What to say where the folders below are called alike everywhere, as classes would be."""
    below = [top.below for top in tops.values() if top.below or top.num_files]
    if len(below) < 2 or len(below[0]) < 2 or any(names != below[0] for names in below):
        return ""
    return (
        f"; the folders below are called alike in all of them ({shorten(sorted(below[0]), 3)}): if "
        "those are the classes, put their files into one folder per class"
    )


def _look_below(names: Sequence[str], paths: Sequence[Sequence[str]]) -> dict[str, _Top]:
    num_files: Counter[str] = Counter()
    below: dict[str, set[str]] = {name: set() for name in names}
    grandchildren: dict[str, set[str]] = {name: set() for name in names}
    for path in paths:
        if len(path) == 2:
            num_files[path[0]] += 1
        elif len(path) > 2:
            below[path[0]].add(path[1])
            if len(path) > 3:
                grandchildren[path[0]].add(path[2])
    return {name: _Top(num_files[name], below[name], grandchildren[name]) for name in names}


def _folder_names(folder: Path) -> list[str]:
    names = (entry.name for entry in os.scandir(folder) if Path(entry).is_dir())
    return sorted(name for name in names if not is_system_name(name))


def _parts_above(
    folder: Path, tops: dict[str, _Top], split_folders: bool | None, by_class: bool
) -> dict[str, str]:
    """The part of each folder that is one; empty where the folders are no parts."""
    if split_folders is False:
        return {}
    exact = {name: part for name in tops if (part := part_of(name))}
    others = [name for name in tops if name not in exact]
    like = {name: part for name in others if (part := resembles_part(name))}
    present = set(exact.values())
    if split_folders:
        parts = exact | {name: part for name, part in like.items() if part != "?"}
        if "train" in parts.values():
            return parts
        raise SettingsError(
            f"data.split_folders: true, but no folder of {folder} is named train; found "
            f"{shorten(tops, 10)}"
        )
    if exact:
        return _exact_parts(folder, tops, exact, like, others, present, by_class)
    if "train" in like.values() and len(set(like.values())) > 1:
        if "?" not in like.values() and len(like) == len(tops) and _share_classes(tops, like):
            return like
        raise _in_doubt(folder, like, others)
    return {}


def _exact_parts(
    folder: Path,
    tops: dict[str, _Top],
    exact: dict[str, str],
    like: dict[str, str],
    others: list[str],
    present: set[str],
    by_class: bool,
) -> dict[str, str]:
    """The parts where some folders have their names: taken if the contents say so too."""
    hold_classes = [name for name in exact if tops[name].below]
    full = [name for name in exact if tops[name].below or tops[name].num_files]
    if not others and "train" in present:
        if by_class and full and not hold_classes:
            raise SettingsError(
                f"data.source: {shorten(sorted(exact))} of {folder} hold files and no class "
                "folders; put one folder per class into each, or, if they are classes "
                "themselves, set data.split_folders: false"
            )
        return exact
    if "train" in present and len(present) > 1 and not like:
        if not by_class:
            return exact
        if len(hold_classes) == len(full) and _share_classes(tops, exact):
            return exact
    if by_class and len(present) == 1 and not hold_classes and not like:
        return {}  # a class that is called so, beside others
    raise _in_doubt(folder, exact, [name for name in others if name not in exact])


def _share_classes(tops: dict[str, _Top], parts: dict[str, str]) -> bool:
    """Whether the folders of the training part hold folders that other parts hold too."""
    train = {clean_name(c) for n, part in parts.items() if part == "train" for c in tops[n].below}
    rest = {clean_name(c) for n, part in parts.items() if part != "train" for c in tops[n].below}
    return bool(train & rest)


def _in_doubt(folder: Path, parts: dict[str, str], others: Sequence[str]) -> SettingsError:
    beside = [name for name in others if name not in parts]
    return SettingsError(
        f"data.source: folders of {folder} are named like parts of a split "
        f"({shorten(sorted(parts))})"
        + (f", others are not ({shorten(beside)})" if beside else "")
        + ". Set data.split_folders: true if those are the parts, with one folder per class in "
        "each (the others are then left out), or false if every folder is a class"
    )


def _parts_below(folder: Path, tops: dict[str, _Top]) -> dict[str, str]:
    """The part of each folder that lies below class folders, where all class folders have some."""
    names = {name for top in tops.values() for name in top.below}
    parts = {name: part for name in names if (part := part_of(name))}
    if "train" not in parts.values() or len(set(parts.values())) < 2:
        return {}
    full = {name: top for name, top in tops.items() if top.below or top.num_files}
    split = [name for name, top in full.items() if top.below & set(parts)]
    wrapper = [name for name in split if full[name].grandchildren and len(split) == 1]
    if wrapper:
        raise SettingsError(
            f"data.source: {folder / wrapper[0]} holds {shorten(sorted(parts))}, each with folders "
            f"of its own; name that folder in data.source, or set data.split_folders: false if "
            f"{shorten(sorted(full))} are the classes"
        )
    if len(split) == len(full):
        return parts
    raise SettingsError(
        f"data.source: of the class folders of {folder} some hold parts of a split "
        f"({shorten(sorted(split))}), others do not ({shorten(sorted(set(full) - set(split)))}); "
        "give each its parts, or set data.split_folders: false to read all of their files alike"
    )


def _describe_parts(parts: dict[str, str], names: Sequence[str]) -> list[str]:
    renamed = [name for name, part in parts.items() if name != part]
    beside = [name for name in names if name not in parts]
    if not renamed and not beside:
        return []
    described = "parts: " + ", ".join(f"{name}/ as {part}" for name, part in sorted(parts.items()))
    return [described + (f"; left out beside them: {shorten(beside)}" if beside else "")]


def _empty_classes(
    folder: Path, names: Sequence[str], parts: dict[str, str], tops: dict[str, _Top]
) -> list[str]:
    """A sentence for class folders without a file: they give no class."""
    if not parts:
        empty = [name for name in names if not (tops[name].num_files or tops[name].below)]
    else:
        filled = {(part, name) for part in parts for name in tops[part].below}
        empty = [
            f"{part}/{name}"
            for part in sorted(parts)
            for name in _folder_names(folder / part)
            if (part, name) not in filled
        ]
    if not empty:
        return []
    return [f"class folders without any file, which give no class: {shorten(empty, 10)}"]


def _refuse_wrapper(folder: Path, tops: dict[str, _Top], parts: dict[str, str]) -> None:
    """One folder that holds folders and nothing else is rarely the only class."""
    full = [(name, top) for name, top in tops.items() if top.num_files or top.below]
    if parts or len(full) != 1:
        return
    name, top = full[0]
    if top.num_files == 0 and len(top.below) > 1:
        raise SettingsError(
            f"data.source: {name} is the only class folder of {folder}, and it holds folders "
            f"({shorten(sorted(top.below))}); if those are the classes, set data.source: "
            f"{folder / name}"
        )
