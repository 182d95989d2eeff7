"""How a table is written, and which of its columns are paths, texts, labels and groups."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from os.path import isfile
from pathlib import Path
from typing import Any, NamedTuple

from seqbelt.data.sources.delimited import read_head
from seqbelt.data.sources.file_name_patterns import GROUP_WORDS
from seqbelt.data.sources.names import clean_names, part_of, shorten
from seqbelt.data.sources.raw_tables import Style, ending_of
from seqbelt.data.sources.tables import read_columns
from seqbelt.data.sources.text_encoding import SAMPLE_BYTES
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.time_columns import seconds_of
from seqbelt.features.arrays.workbook_texts import is_workbook
from seqbelt.features.text.encoding_ranking import rank_encodings, unmarked_encoding
from seqbelt.features.text.text_decoding import (
    decode_text,
    mark_of,
)

_NAMES = {
    "path": "path file filename file_name filepath file_path wav audio video clip recording 파일 "
    "경로 파일명",
    "text": "text review sentence document comment content message utterance body tweet question "
    "본문 내용 리뷰 문장 텍스트",
    "label": "label labels class classname class_name category target y emotion sentiment genre "
    "intent activity diagnosis 라벨 레이블 클래스 분류 범주 감정 정답",
    "split": "split set fold subset partition part 분할",
    "id": "id uid key index row no number 번호",
    "group": " ".join(["group", "groups", *GROUP_WORDS, "그룹"]),
}
ENOUGH_LEAD = 0.2
"""How far the best encoding's score is ahead of the next where it is taken, and said with what it
reads. Without such a note, ``data.encoding`` needs more (``CLEAR_LEAD``)."""
NUM_LOOKED_AT = 200
"""Values of a column that are looked up as paths."""
MIN_RUN_ROWS = 5
"""Rows on average of each value of a column that tells sequences apart."""
MAX_CLASSES = 100
"""More different values are no classes, unless the column is called so."""


class NoItemsError(SettingsError):
    """A table has no column that names items: neither files nor texts."""


class TableLook(NamedTuple):
    """How a table is read."""

    settings: dict[str, Any]
    """Settings of ``data`` that differ from their defaults."""
    reasons: dict[str, str]
    """Why each is as it is; for columns with their usual names too."""
    columns: dict[str, str]
    """Name of the column for each of path, text, label, split, group, id, segments, if there is
    one."""
    values: Mapping[str, Sequence[str]]


def look_into_table(path: Path, given: Mapping[str, Any]) -> TableLook:
    """Find out how a table is written and what its columns are; ``given`` settings of ``data`` are
    taken as they are. Raises SettingsError where two readings are possible."""
    settings: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    if ending_of(path) in (".csv", ".tsv", ".txt"):
        content = path.read_bytes()
        encoding = given.get("encoding") or _find_encoding(path, content[:SAMPLE_BYTES], reasons)
        if encoding != "utf-8":
            settings["encoding"] = encoding
        delimiter = given.get("delimiter") or _find_delimiter(path, content, encoding, reasons)
        if delimiter != Style().delimiter_of(path):
            settings["delimiter"] = delimiter
    sheet = given.get("sheet")
    if is_workbook(path) and sheet is not None:
        settings["sheet"] = sheet
    style = Style(
        given.get("header"),
        given.get("quoting", True),
        settings.get("encoding", "utf-8"),
        settings.get("delimiter"),
        sheet,
    )
    asked = [name for key, name in given.items() if key.endswith("_column")]
    known = [name for role in ("path", "text", "label") for name in _NAMES[role].split()]
    needed = {*asked, *_NAMES["label"].split()}
    values = read_columns(path, style, asked or known, needed=needed)
    if not values or not len(next(iter(values.values()))):
        raise SettingsError(f"{path}: no rows; expected a header and a row per item")
    columns = _find_roles(path, values, given, reasons)
    if "label_column" not in given:
        _refuse_row_as_header(path, values, columns)
    for role, name in columns.items():
        if name != role:
            settings[f"{role}_column"] = name
    return TableLook(settings, reasons, columns, values)


def _refuse_row_as_header(
    path: Path, values: Mapping[str, Sequence[str]], columns: Mapping[str, str]
) -> None:
    """Raise where the first line is a row: its label is one of the labels below it."""
    label = columns.get("label")
    if label is None or label not in values[label]:
        return
    roles = {name: role for role, name in columns.items()}
    names = [roles.get(name, f"column_{n}") for n, name in enumerate(values, start=1)]
    raise SettingsError(
        f"{path}: line 1 seems to be a row and no header: its '{label}' is a label of other rows "
        f"too; name the columns with 'data.header=[{','.join(names)}]', or the label's column with "
        "data.label_column=NAME"
    )


def _find_encoding(path: Path, sample: bytes, reasons: dict[str, str]) -> str:
    if mark := mark_of(sample):
        return "utf-8" if mark == "utf-8-sig" else mark
    if wide := unmarked_encoding(sample):
        reasons["encoding"] = f"its bytes are those of {wide}"
        return wide
    cut = sample.rfind(b"\n") + 1 if len(sample) == SAMPLE_BYTES else len(sample)
    try:
        sample[:cut].decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        where = error.start
    lines = b"\n".join([line for line in sample[:cut].splitlines() if not line.isascii()][:200])
    ranked = rank_encodings(lines)
    near = [candidate for candidate in ranked if candidate.score > ranked[0].score - ENOUGH_LEAD]
    if len(near) != 1:
        tried = " or ".join(f"data.encoding={candidate.encoding}" for candidate in near[:3])
        raise SettingsError(
            f"{path}: is not UTF-8 (byte {where}), and several encodings can read it; choose one: "
            f"{tried or 'data.encoding=NAME'}"
        )
    line = next((text for text in near[0].text.splitlines() if text.strip()), "")
    reasons["encoding"] = f"not UTF-8; in this encoding it reads '{line[:30]}'"
    return near[0].encoding


def _find_delimiter(path: Path, content: bytes, encoding: str, reasons: dict[str, str]) -> str:
    default = Style().delimiter_of(path)
    plain = decode_text(content[:SAMPLE_BYTES], encoding).encode() if encoding != "utf-8" else (
        content[:SAMPLE_BYTES].removeprefix(b"\xef\xbb\xbf")
    )  # fmt: skip
    widths = {}
    for delimiter in dict.fromkeys([default, ",", ";", "\t", "|"]):
        names = read_head(plain, delimiter, default, True, None, (), []).names
        filled = [name.strip() for name in names]
        if len(names) > 1 and all(filled) and len(set(filled)) == len(filled):
            widths[delimiter] = len(names)
    if default in widths or not widths:
        return default
    if len(widths) > 1:
        tried = " or ".join(
            f"data.delimiter={_name(delimiter)} ({n} columns)" for delimiter, n in widths.items()
        )
        raise SettingsError(f"{path}: several delimiters split the header; choose one: {tried}")
    (best,) = widths
    reasons["delimiter"] = f"it splits the header into {widths[best]} columns, {default!r} does not"
    return best


def _name(delimiter: str) -> str:
    return {"\t": "tab", ";": "semicolon", ",": "comma", "|": "pipe"}[delimiter]


def _find_roles(
    path: Path,
    values: Mapping[str, Sequence[str]],
    given: Mapping[str, Any],
    reasons: dict[str, str],
) -> dict[str, str]:
    """The column of each role that has one; why is added to ``reasons``."""
    roles = _Roles(path, values, given, reasons)
    roles.take_given()
    roles.find_items()
    roles.find_split()
    roles.find_group()
    roles.find_id()
    if not roles.labels_steps and not given.get("label_columns"):
        roles.find_label()
    return roles.columns


class _Roles:
    """Columns by role: by what is given, by their names or by their values.

    Raises SettingsError where two columns would do.
    """

    def __init__(
        self,
        path: Path,
        values: Mapping[str, Sequence[str]],
        given: Mapping[str, Any],
        reasons: dict[str, str],
    ) -> None:
        self.path, self.values, self.given, self.reasons = path, values, given, reasons
        self.columns: dict[str, str] = {}
        self.labels_steps = given.get("labels") == "per_step"

    @property
    def free(self) -> list[str]:
        """Columns that hold something and have no role yet."""
        taken = self.columns.values()
        return [name for name, cells in self.values.items() if name not in taken and any(cells)]

    def named(self, role: str) -> list[str]:
        """Free columns that are called like a role."""
        exact = [name for name in self.free if name.casefold() == role]
        return exact or [name for name in self.free if _bare(name) in _NAMES[role].split()]

    def take(self, role: str, name: str, why: str) -> None:
        self.columns[role], self.reasons[f"{role}_column"] = name, why

    def take_only(
        self, role: str, candidates: Sequence[str], why: str, what: str, other: str = ""
    ) -> None:
        """Take the only candidate, if there is one. ``what`` all of several do is for the message,
        and ``other`` is another way out."""
        if len(candidates) > 1:
            shown = "; ".join(
                f"data.{role}_column={name} "
                f"({shorten(dict.fromkeys(filter(None, self.values[name])), 4)})"
                for name in candidates[:8]
            )
            raise SettingsError(
                f"{self.path}: {len(candidates)} columns {what}; choose one: {shown}{other}"
            )
        if candidates:
            self.take(role, candidates[0], why)

    def take_given(self) -> None:
        for role in _NAMES:
            if (name := self.given.get(f"{role}_column")) is None:
                continue
            if name not in self.values:
                raise SettingsError(
                    f"{self.path}: no column '{name}' (data.{role}_column); found "
                    f"{shorten(self.values, 30)}"
                )
            self.take(role, name, "as given on the command line")
        segments = self.given.get("segments_column", "segments")
        if self.labels_steps and segments in self.values:
            self.take("segments", segments, "tables of the segments that have labels")

    def find_items(self) -> None:
        """Find the column with paths, or else the one with texts."""
        path, values = self.path, self.values
        if "path" not in self.columns:
            there = [name for name in self.free if _are_files(path.parent, values[name])]
            why = "its values are files that exist"
            self.take_only("path", there, why, "name files that exist")
        if "text" not in self.columns and "path" not in self.columns:
            candidates, why = self.named("text"), "its name"
            if not candidates:
                candidates = [name for name in self.free if _are_texts(values[name])]
                why = "its values are different texts of several words"
            self.take_only("text", candidates, why, "could hold the texts")
        if "path" in self.columns or "text" in self.columns:
            return
        if lost := self.named("path"):
            raise SettingsError(
                f"{path}: column '{lost[0]}' is called like paths, but '{values[lost[0]][0]}' is "
                f"no file in {path.parent} or the working directory; correct the paths, which are "
                "relative to the table"
            )
        given = self.columns.get("label")
        labels = [given] if given else self.named("label")
        raise NoItemsError(
            f"{path}: no column with paths of files that exist or with texts; found "
            f"{shorten(values, 30)}. Name yours: data.path_column=NAME or data.text_column=NAME. "
            + (
                _hint_at_sequences(path, values, labels)
                or "Is the table one recording? Then init its folder"
            )
        )

    def find_split(self) -> None:
        if "split" in self.columns:
            return
        named = self.named("split")
        parts = [name for name in named if all(map(part_of, filter(None, self.values[name])))]
        why = "its values name train, validation or test"
        self.take_only("split", parts, why, "name parts of a split")

    def find_group(self) -> None:
        if "group" in self.columns:
            return
        counts = {name: len(set(self.values[name])) for name in self.named("group")}
        groups = [name for name, count in counts.items() if 1 < count < len(self.values[name])]
        number = counts[groups[0]] if groups else 0
        why = f"its name; {number:,} groups, each kept on one side of a split"
        self.take_only("group", groups, why, "could be the groups")

    def find_id(self) -> None:
        if "id" in self.columns:
            return
        for name in self.named("id"):
            if len(set(self.values[name])) == len(self.values[name]):
                self.take("id", name, "its name, and no value is there twice")
                return

    def find_label(self) -> None:
        if "label" in self.columns:
            return
        values = self.values
        candidates = [name for name in self.named("label") if len(set(values[name])) > 1]
        why = "its name"
        if not candidates:
            candidates = [name for name in self.free if _can_be_label(values[name])]
            why = "the only other column whose values repeat as classes do"
        if not candidates:
            raise SettingsError(
                f"{self.path}: no column with classes; found {shorten(values, 30)}. Name yours: "
                "data.label_column=NAME"
            )
        labels = values[candidates[0]]
        if len(candidates) == 1 and self.given.get("labels") is None:
            _refuse_several_labels(self.path, candidates[0], labels)
        if self.given.get("labels") != "several":
            why += f"; {len(set(clean_names(labels)) - {''}):,} classes"
        binary = [name for name in candidates if set(values[name]) <= {"0", "1", ""}]
        several = f"data.labels=several 'data.label_columns=[{','.join(binary)}]'"
        other = f"; or all columns of 0 and 1, each a label: {several}" if len(binary) > 1 else ""
        self.take_only("label", candidates, why, "could be the label", other)


def _refuse_several_labels(path: Path, column: str, labels: Sequence[str]) -> None:
    """Raise where a label is made of parts, such as ``cat|dog``, that other labels have too."""
    for separator in "|;,":
        parts = {label: {part.strip() for part in label.split(separator)} for label in set(labels)}
        often = Counter(part for of in parts.values() for part in of)
        for label, of in sorted(parts.items()):
            if len(of) > 1 and all(part and often[part] > 1 for part in of):
                raise SettingsError(
                    f"{path}: '{label}' in column '{column}' may be one class or several labels; "
                    f"choose: data.labels=several 'data.label_separator={separator}', or "
                    "data.labels=per_sequence for one class"
                )


def _hint_at_sequences(
    path: Path, values: Mapping[str, Sequence[str]], labels: Sequence[str]
) -> str:
    """How to part a table with the steps of many sequences below each other, told by a column whose
    values each stand in one run of rows; empty for another table."""
    num_rows = len(next(iter(values.values())))
    runs = {
        name: sum(1 for _ in groupby(column))
        for name, column in values.items()
        if name not in labels[:1]
    }
    keys = [
        name
        for name, count in runs.items()
        if 1 < count == len({*values[name]}) and MIN_RUN_ROWS * count <= num_rows
    ]
    if not keys:
        return ""
    key = max(keys, key=lambda name: runs[name])
    by = [*labels[:1], key]
    names, label = ("(label, key)", "{label}") if labels else ("(key,)", "CLASS")
    return (
        f"Its rows seem to be the steps of sequences, one for each of the {runs[key]:,} values of "
        f"'{key}'. Then write each to a file of its own and init the folder 'items'; in Python:\n"
        f"for {names}, rows in pandas.read_csv({path.name!r}).groupby({by}):\n"
        f"    os.makedirs(f'items/{label}', exist_ok=True)\n"
        f"    rows.drop(columns={by}).to_csv(f'items/{label}/{{key}}.csv', index=False)"
    )


def _bare(name: str) -> str:
    """A name in lower case, without ``_id`` at its end."""
    return name.casefold().strip().replace(" ", "_").removesuffix("_id").removesuffix("_no")


def _are_files(folder: Path, values: Sequence[str]) -> bool:
    some = [value for value in values if value][:NUM_LOOKED_AT]
    spelled = [value.strip().replace("\\", "/") for value in some]
    # Unlike Path.is_file, False for a sentence that is longer than a file's name may be.
    there = [isfile(folder / path) or isfile(path) for path in spelled]  # noqa: PTH113
    return 2 * sum(there) > len(there)


def _are_texts(values: Sequence[str]) -> bool:
    filled = [value for value in values if value]
    different = len(set(filled)) > len(filled) / 2
    return different and sum(" " in value.strip() for value in filled) > len(filled) / 2


def _can_be_label(values: Sequence[str]) -> bool:
    filled = [value for value in values if value]
    different = list(dict.fromkeys(filled))
    few = 1 < len(different) <= min(MAX_CLASSES, len(filled) // 2)
    return few and seconds_of(different) is None
