"""Rows of a manifest that are no items: names of columns, sums, lines drawn between others."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqbelt.data.sources.delimited import RawTable
from seqbelt.data.sources.names import clean_name
from seqbelt.errors import SettingsError
from seqbelt.features.arrays.row_kinds import MAX_NAME, RULE, SUMMARY_WORDS

FEW_ROWS = 3
"""A head's label is that of so few rows at most, unless it is the name of a column."""
_NAME = re.compile(r"[^\W\d]\w*(?:[ /-]\w+){0,2}(?: ?[(\[][^)\]]*[)\]])?")
"""What could be a column's name: up to three words, perhaps with a remark behind them."""


def find_other_rows(
    path: Path, table: RawTable, columns: Mapping[str, int], values: Mapping[str, Sequence[str]]
) -> dict[int, str]:
    """Why rows are no items: they repeat the header, as in joined files, are drawn, or sum the
    others up.

    ``columns`` has the column of each field, ``values`` its cells. Raises SettingsError for the
    head of a second table: a row that names the columns in another order, or one below an empty
    line that names others.
    """
    names = {field: clean_name(table.names[index]).casefold() for field, index in columns.items()}
    if len(names) < 2:
        return {}
    others: dict[int, str] = {}
    for row in _rows_to_judge(names, values):
        cells = {field: values[field][row] for field in names}
        folded = {field: _fold(cell) for field, cell in cells.items()}
        if folded == names:
            others[row] = "the row repeats the header"
        elif all(RULE.fullmatch(cell.strip()) for cell in cells.values()):
            others[row] = "the row is a line drawn between others"
        elif word := _summary(cells, values, ""):
            others[row] = f"the row '{word}' sums others up"
        elif {*folded.values()} <= {*names.values()}:
            why = "has the names of the columns in another order"
            raise _second_table(path, table, row, cells, why)
        elif _is_below_gap(table, row, cells, values):
            if not {*names.values()}.isdisjoint(folded.values()):
                raise _second_table(path, table, row, cells, "names columns below an empty line")
            if _has_own_label(cells, values):
                why = "stands below an empty line, and no other row has its label"
                raise _second_table(path, table, row, cells, why)
    last = table.num_rows - 1
    cells = {field: values[field][last] for field in names}
    if word := _summary(cells, values, str(last)):
        others[last] = f"the row '{word}' sums the others up"
    return others


def _rows_to_judge(names: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> Sequence[int]:
    """Rows whose label few rows have or is the name of a column: only they can be heads."""
    known = {*names.values()}
    if "label" not in names:
        first = values[next(iter(names))]
        return [row for row, cell in enumerate(first) if cell.strip().casefold() in known]
    labels = values["label"]
    few = {
        label
        for label, count in Counter(labels).items()
        if count <= FEW_ROWS or _fold(label) in known
    }
    return [row for row, label in enumerate(labels) if label in few] if few else ()


def _fold(cell: str) -> str:
    return clean_name(cell).casefold() if len(cell) <= 2 * MAX_NAME else cell


def _is_below_gap(
    table: RawTable, row: int, cells: Mapping[str, str], values: Mapping[str, Sequence[str]]
) -> bool:
    """Whether nothing stands above a row that may name columns, where most rows follow others."""
    if not row or not all(_NAME.fullmatch(clean_name(cell)) for cell in cells.values()):
        return False
    gaps = table.gaps()
    is_below = row in gaps or not any(values[field][row - 1].strip() for field in cells)
    return is_below and 2 * len(gaps) < table.num_rows


def _has_own_label(cells: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> bool:
    """Whether no other row has the label of a row of different cells."""
    if "label" not in cells or len({*cells.values()}) < len(cells):
        return False
    return values["label"].count(cells["label"]) == 1


def _second_table(
    path: Path, table: RawTable, row: int, cells: Mapping[str, str], why: str
) -> SettingsError:
    shown = ", ".join(cell.strip() for cell in cells.values())
    return SettingsError(
        f"{path}, {table.place(row)}: '{shown}' {why}: a second table seems to begin here; save it "
        "as a file of its own, or remove the line where it is none"
    )


def _summary(row: Mapping[str, str], values: Mapping[str, Sequence[str]], count: str) -> str:
    """The word by which a row sums others up; "" where it does not. Its other cells are empty, or a
    number: the ``count`` of the rows above it, or any where labels are no numbers."""
    cells = [cell.strip().casefold().rstrip(":") for cell in row.values()]
    sums = [cell for cell in cells if cell in SUMMARY_WORDS]
    others = [cell for cell in cells if cell not in (*sums, "", count)]
    if not sums or not all(map(str.isdecimal, others)):
        return ""
    if others and not any(label and not label.isdecimal() for label in values.get("label", ())):
        return ""
    return sums[0]
