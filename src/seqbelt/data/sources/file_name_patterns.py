"""Labels and groups in the names of files: ``7_jackson_12.wav``, ``dog-speaker03-1.wav``."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from seqbelt.data.sources.names import shorten
from seqbelt.errors import SettingsError

GROUP_WORDS = (
    "speaker", "spk", "subject", "subj", "user", "person", "patient", "participant", "actor",
    "singer", "session", "device", "site", "화자", "피험자", "참가자", "환자",
)  # fmt: skip
"""What the names of groups begin with: rows of one are alike beyond their class."""
_GROUP = re.compile(
    rf"(?:^|[^a-z가-힣])({'|'.join(GROUP_WORDS)})[-_ ]?([0-9]+|[a-z](?![a-z]))", re.I
)


_BEFORE_NUMBER = r"(?:^|/)(?P<group>[^/0-9]+)[0-9()]+\.[^/.]*$"
_TAKE = re.compile(r"(?:^|/)(?P<group>[^/]+)[_\- ]+[A-Za-z]\.[^/.]+$")
_FROM_END = r"(?P<group>[^_\- /.]+)[^_\- /]*"


class FileNames(NamedTuple):
    """What a pattern finds in the names."""

    labels: list[str]
    """Empty where the pattern has no ``label``."""
    groups: list[str]
    reason: str


def read_pattern(paths: Sequence[str], pattern: str) -> FileNames:
    """Labels and groups by a regular expression with groups named ``label`` and ``group``, looked
    for in each path. Raises SettingsError for a name in which it is not found."""
    try:
        form = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"--pattern: '{pattern}' is not a regular expression ({error})"
        ) from None
    known = set(form.groupindex)
    if not known or known - {"label", "group"}:
        raise SettingsError(
            f"--pattern: '{pattern}' names {sorted(known) or 'nothing'}; expected (?P<label>...), "
            "(?P<group>...) or both"
        )
    matches = [form.search(path) for path in paths]
    if missing := [path for path, match in zip(paths, matches, strict=True) if match is None]:
        raise SettingsError(
            f"--pattern: '{pattern}' is not found in {len(missing):,} of {len(paths):,} names: "
            f"{shorten(missing, 3)}"
        )
    read = {
        name: [match[name] or "" for match in matches if match] if name in known else []
        for name in ("label", "group")
    }
    return FileNames(read["label"], read["group"], f"by --pattern '{pattern}'")


def find_groups(paths: Sequence[str]) -> FileNames | None:
    """Groups by a word such as ``speaker`` with a number in the names; None where there are none.

    Raises SettingsError where some names have one and others do not.
    """
    matches = [_GROUP.search(path) for path in paths]
    groups = [f"{match[1]}{match[2]}".casefold() if match else "" for match in matches]
    if len(set(filter(None, groups))) < 2:
        return None
    if missing := [path for path, group in zip(paths, groups, strict=True) if not group]:
        raise SettingsError(
            f"the names contain a group in {len(paths) - len(missing):,} of {len(paths):,} "
            f"files, such as '{next(filter(None, groups))}', and none in others: "
            f"{shorten(missing, 3)}. Rename those, or write a manifest (.csv) with the columns "
            "path, label and group"
        )
    words = sorted({match[1].casefold() for match in matches if match})
    return FileNames([], groups, f"'{words[0]}' and its number in the names of the files")


def suggest_recordings(paths: Sequence[str]) -> tuple[str, str] | None:
    """Names that a letter at their end alone tells apart, as takes of one recording
    (``5-9032-A``, ``5-9032-B``), and a pattern that groups them; None where most are alone."""
    takes = [_TAKE.search(path) for path in paths]
    counts = Counter(take["group"] for take in takes if take)
    several = next((name for name, count in counts.items() if count > 1), None)
    if None in takes or several is None or 2 * len(counts) < len(paths):
        return None
    names = [PurePosixPath(t.string).stem for t in takes if t and t["group"] == several]
    return f"several takes of one recording: {shorten(sorted(names))}", _TAKE.pattern


def suggest_groups(paths: Sequence[str], labels: Sequence[str]) -> tuple[str, str] | None:
    """Words in the paths ``CLASS/.../NAME`` of a class folder's files that return in other classes,
    as speakers do, and a pattern that takes them for groups; None where there are none.

    Folders below the class folders are looked at first, then the parts of the names.
    """
    folders = min(path.count("/") for path in paths)
    words = min(len(re.split(r"[_\- ]+", PurePosixPath(path).stem)) for path in paths)
    patterns = [
        *("^" + "[^/]+/" * (index + 1) + "(?P<group>[^/]+)/" for index in range(folders - 1)),
        *((_pattern(group=index) for index in range(words)) if words > 1 else (_BEFORE_NUMBER,)),
        # Names of unequally many parts, as with dates or blanks: the parts from the last one on.
        *(_FROM_END + r"[_\- ]+[^_\- /]+" * index + "$" for index in range(words - 1)),
    ]
    for pattern in patterns:
        matches = [re.search(pattern, path) for path in paths]
        found = [match["group"] for match in matches if match]
        if len(found) == len(paths) and _can_be_label(found) and _return_in_classes(found, labels):
            words = shorten(sorted(set(found)))
            return f"speakers, subjects or machines in several classes: {words}", pattern
    return None


def _return_in_classes(words: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether most words are no mere numbers, and stand in several classes."""
    classes: dict[str, set[str]] = {}
    for word, label in zip(words, labels, strict=True):
        classes.setdefault(word, set()).add(label)
    returning = [word for word, own in classes.items() if len(own) > 1 and not word.isdigit()]
    return 2 * len(returning) > len(classes)


def find_labels(folder: str, paths: Sequence[str]) -> FileNames:
    """Labels by the one part of the names, between ``_``, ``-`` and blanks, that can be a class.

    Raises SettingsError where there is none, or several could be meant.
    """
    groups = find_groups(paths)
    names = [PurePosixPath(path).stem for path in paths]
    bare = [_GROUP.sub("_", name) for name in names] if groups else names
    parts = [[part for part in re.split(r"[_\- ]+", name) if part] for name in bare]
    widths = Counter(map(len, parts))
    if len(widths) > 1 or not parts or widths.keys() <= {0}:
        first = {len(part): name for part, name in zip(parts, names, strict=True)}
        raise SettingsError(
            f"{folder}: no sub-folders with classes, and the names of the files do not have the "
            f"same number of parts ({shorten(first.values(), 3)}). Put the files of each class "
            "into a folder of its own, or say where the label stands: --pattern "
            r"'(?P<label>[^_/]+)_[^/]*$'"
        )
    (width,) = widths
    # A single word with a number at its end: dog12 is a dog.
    columns = [[part[index] for part in parts] for index in range(width)]
    if width == 1:
        columns = [[re.sub(r"[0-9()]+$", "", part) or part for part in columns[0]]]
    fitting = [index for index, column in enumerate(columns) if _can_be_label(column)]
    if not fitting:
        raise SettingsError(
            f"{folder}: no sub-folders with classes, and no part of the files' names repeats as a "
            f"class does ({shorten(names, 3)}). Put the files of each class into a folder of its "
            "own, or write a manifest (.csv) with the columns path and label"
        )
    if len(fitting) > 1:
        patterns = "".join(
            f"\n  {shorten(sorted(set(columns[index])))}: --pattern '{_pattern(index)}'"
            for index in fitting
        )
        # Most often there are fewer classes than speakers or machines.
        example = sorted(fitting, key=lambda index: len(set(columns[index])))[:2]
        raise SettingsError(
            f"{folder}: {len(fitting)} parts of the files' names could be the class. Choose one:"
            f"{patterns}\nTo keep each speaker or machine on one side of a split, name its part "
            f"too, for example: --pattern '{_pattern(*example)}'"
        )
    index = fitting[0]
    reason = f"part {index + 1} of the files' names: '{columns[index][0]}' of '{names[0]}'"
    if groups:
        reason += f"; groups by {groups.reason}"
    return FileNames(columns[index], groups.groups if groups else [], reason)


def _can_be_label(values: Sequence[str]) -> bool:
    counts = Counter(values)
    return len(counts) > 1 and 2 * len(counts) <= len(values) and max(counts.values()) > 2


def _pattern(label: int | None = None, group: int | None = None) -> str:
    """A pattern of the parts at these places."""
    places = {
        name: index for name, index in (("label", label), ("group", group)) if index is not None
    }
    parts = [r"[^_\- /]+"] * (1 + max(places.values()))
    for name, index in places.items():
        parts[index] = rf"(?P<{name}>[^_\- /.]+)"  # without the ending
    return "(?:^|/)" + r"[_\- ]+".join(parts) + "[^/]*$"
