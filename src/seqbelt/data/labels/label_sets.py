"""Several labels of one item: how a manifest holds them, and how tables write them."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from seqbelt.data.sources.names import clean_name

Unlabeled = Literal["quarantine", "negative"]
"""Rows without any label are quarantined, or have none of the labels."""
NO_LABELS = "[]"
"""A manifest's ``label`` where it is known that an item has none of the labels."""
YES, NO = frozenset(("1", "true")), frozenset(("0", "false"))
"""What a column of one label has, in lower case."""


_LIST = re.compile(r"""\[\s*(?:(?:'[^']*'|"[^"]*"|[+-]?\d+)\s*(?:,\s*|(?=\])))*\]""")


class SeveralStyle(NamedTuple):
    """How a table writes several labels."""

    separator: str | None = None
    """What parts the labels of a text; None takes lists only."""
    columns: tuple[str, ...] = ()
    """Columns of 0 and 1, one for each label."""


def pack_labels(names: Iterable[str]) -> str:
    """Labels as a manifest's ``label``: a JSON list of the different names, sorted; empty without
    any."""
    different = sorted({name for name in names if name})
    return json.dumps(different, ensure_ascii=False) if different else ""


def unpack_labels(text: str) -> tuple[str, ...]:
    """The labels of ``pack_labels``. Raises ValueError for another text."""
    if not text:
        return ()
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'expected a list of labels, such as ["a", "b"], found {text[:80]}')
    return tuple(names)


def read_list(text: str) -> list[str | int] | None:
    """A list that a program wrote as text, such as ``['a', 'b']``; None for other texts."""
    text = text.strip()
    return ast.literal_eval(text) if text[:1] == "[" and _LIST.fullmatch(text) else None


class LabelReader:
    """Reads the labels of one row from a value of a table.

    ``separator`` parts the labels of a text; lists need none. ``as_written`` keeps names in their
    Unicode form.
    """

    def __init__(self, column: str, separator: str | None, as_written: bool) -> None:
        self.column, self.separator, self.as_written = column, separator, as_written

    def read(self, value: object) -> list[str]:
        """The labels. Raises ValueError with the reason for a value that has none to read."""
        if value is None or value == "" or (isinstance(value, float) and value != value):
            return []
        if isinstance(value, str) and (found := read_list(value)) is not None:
            value = found
        if isinstance(value, str):
            if self.separator is None:
                raise ValueError(
                    f"column '{self.column}' holds a text, '{value[:80]}'; expected a list, or set "
                    "data.label_separator to the separator of the labels"
                )
            return self._clean(value.split(self.separator))
        if not isinstance(value, list | tuple):
            raise ValueError(
                f"column '{self.column}' holds {json.dumps(value, default=str)[:80]}; expected a "
                "list of labels"
            )
        for name in value:
            if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
                raise ValueError(
                    f"column '{self.column}' holds a list with "
                    f"{json.dumps(name, ensure_ascii=False, default=str)[:80]}; expected labels "
                    "that are texts or whole numbers"
                )
        return self._clean([str(name) for name in value])

    def _clean(self, names: Sequence[str]) -> list[str]:
        return [name if self.as_written else clean_name(name) for name in names if name.strip()]


def read_flags(columns: Mapping[str, Sequence[str]], row: int) -> list[str]:
    """The labels whose column, of 0 and 1 as texts, has 1 in a row. Raises ValueError."""
    names = []
    for name, values in columns.items():
        value = values[row].strip().lower()
        if value not in YES | NO:
            shown = f"'{values[row][:80]}'" if value else "nothing"
            raise ValueError(f"column '{name}' holds {shown}; expected 0 or 1")
        if value in YES:
            names.append(name)
    return names


def rarest_labels(packed: Sequence[str]) -> list[str]:
    """The rarest label of each row: parts that are stratified by it have every label (the order
    in which iterative stratification, Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10,
    hands out rows)."""
    sets = [unpack_labels(text) for text in packed]
    counts = Counter(name for names in sets for name in names)
    return [min(names, key=lambda name: (counts[name], name), default="") for names in sets]
