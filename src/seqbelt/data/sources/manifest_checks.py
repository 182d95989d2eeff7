"""Rows of a manifest that cannot be meant as they stand, and notes on what is doubtful."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from seqbelt.data.labels.label_sets import read_list
from seqbelt.data.sources.delimited import RawTable
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.data.sources.other_rows import find_other_rows
from seqbelt.data.sources.raw_tables import Columns, Style, listed
from seqbelt.features.arrays.number_cells import ERROR_WORDS
from seqbelt.features.text.text import ESCAPED

ERROR_CELLS = frozenset(word.upper() for word in ERROR_WORDS)
SPAN_NAME = re.compile(
    r"(start|begin|onset|offset|end|stop|duration)(_?time)?([ _]*[(\[]?m?s(ec)?[)\]]?)?",
    re.IGNORECASE,
)
"""Names of columns that say which part of a recording a row is about."""


def find_problems(
    path: Path,
    table: RawTable,
    columns_by_role: Mapping[str, int],
    values: Mapping[str, list[str]],
    columns: Columns,
    style: Style,
    problems: dict[int, str],
) -> None:
    """Add rows that cannot be items, with the reason, to ``problems``; these lose their label.

    ``columns_by_role`` are indices of the table's columns, ``values`` their cells.
    """
    _find_broken_labels(values.get("label", ()), problems)
    _find_error_cells(values, columns, style, problems)
    if "label" in columns_by_role and not style.labels_as_written:
        _find_lists(values["label"], columns.label, problems)
    for row, why in find_other_rows(path, table, columns_by_role, values).items():
        problems[row] = why
        if "label" in values:
            values["label"][row] = ""


def note_doubts(
    table: RawTable,
    columns_by_role: Mapping[str, int],
    values: Mapping[str, Sequence[str]],
    others_read: Collection[int],
    style: Style,
    notes: list[str],
) -> None:
    """Add what is doubtful to ``notes``; ``others_read`` are columns read without a role."""
    if "path" in columns_by_role and "segments" not in columns_by_role:
        _note_spans(table.names, [*columns_by_role.values(), *others_read], notes)
    _note_doubled_ids(table, values.get("id", ()), notes)
    if "label" in columns_by_role:
        _note_lone_labels(table, values["label"], notes)
    if style.header and "label" in values:
        _note_header(table, values["label"], notes)


def _note_doubled_ids(table: RawTable, ids: Sequence[str], notes: list[str]) -> None:
    """Note which ids stand in several rows, since ids tell rows apart in all that is written."""
    if len({*ids}) == len(ids):
        return
    rows: dict[str, list[int]] = {}
    for row, id in enumerate(ids):
        rows.setdefault(id, []).append(row)
    doubled = {id: index for id, index in rows.items() if len(index) > 1}
    id, (first, second, *_) = next(iter(doubled.items()))
    more = f", and {len(doubled) - 1:,} more ids stand" if len(doubled) > 1 else " stands"
    notes.append(
        f"the id '{id}'{more} in several rows ('{id}' in {table.place(first)} and "
        f"{table.place(second)}): ids should tell rows apart (data.id_column)"
    )


def _note_lone_labels(table: RawTable, labels: Sequence[str], notes: list[str]) -> None:
    """Note where the labels stand that one row alone has, if they are few: it may be no item."""
    counts = Counter(filter(None, labels))
    lone = [label for label, count in counts.items() if count == 1]
    if lone and 2 * len(lone) <= len(counts):
        listed = shorten([f"'{label}' ({table.place(labels.index(label))})" for label in lone])
        notes.append(f"one row alone has the label {listed}")


def _note_header(table: RawTable, labels: Sequence[str], notes: list[str]) -> None:
    """Note that a first row may be a header where data.header states that there is none."""
    counts = Counter(labels)
    if labels[0] and counts[labels[0]] == 1 and min([*counts.values()][1:], default=1) > 1:
        notes.append(
            f"{table.place(0)} is taken as values since data.header is set; its label "
            f"'{labels[0]}' is nowhere else: if it is a header, remove data.header"
        )


def _note_spans(names: Sequence[str], read: Collection[int], notes: list[str]) -> None:
    """Note that files are read whole where columns name a part of each."""
    others = [name for index, name in enumerate(names) if index not in read]
    spans = [name for name in others if SPAN_NAME.fullmatch(clean_name(name))]
    if len(spans) > 1:
        notes.append(
            f"{listed(spans)} are not read: each file is read whole. Cut the files, or label parts "
            "of them by tables of segments (data.labels: per_step)"
        )


def _find_broken_labels(labels: Sequence[str], problems: dict[int, str]) -> None:
    broken = {label: match for label in set(labels) if (match := ESCAPED.search(label))}
    for row, label in enumerate(labels if broken else ()):
        if label in broken:
            byte = ord(broken[label][0]) - 0xDC00
            problems.setdefault(row, f"the label is not UTF-8: byte 0x{byte:02x}")


def _find_error_cells(
    values: Mapping[str, list[str]],
    columns: Columns,
    style: Style,
    problems: dict[int, str],
) -> None:
    """Make a problem of rows whose label, or text where that is what is read, is an error such as
    ``#REF!``, as spreadsheets write them."""
    is_read = {"text": "path" not in values, "label": not style.labels_as_written}
    for name in (name for name, is_one in is_read.items() if is_one and name in values):
        cells = values[name]
        for row in [row for row, cell in enumerate(cells) if cell in ERROR_CELLS]:
            keep = "; data.labels_as_written: true takes it as a name" if name == "label" else ""
            problems.setdefault(
                row,
                f"column '{getattr(columns, name)}' holds '{cells[row]}', a spreadsheet's error: "
                f"correct the cell{keep}",
            )
            if name == "label":
                cells[row] = ""


def _find_lists(labels: list[str], column: str, problems: dict[int, str]) -> None:
    """Make a problem of rows whose label is a list that a program wrote as text."""
    lists = {label for label in set(labels) if read_list(label) is not None}
    for row in [row for row, label in enumerate(labels) if label in lists]:
        problems.setdefault(
            row,
            f"column '{column}' holds a list, {labels[row][:80]}; expected one label a row "
            "(data.labels: several reads lists, data.labels_as_written: true takes it as a name)",
        )
        labels[row] = ""
