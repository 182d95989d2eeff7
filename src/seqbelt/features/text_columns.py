"""Text columns: .csv, .tsv, or anything between spaces; with names above them or without."""

import io
from typing import Any


def parse_text(content: bytes, header: bool | None, **options: Any) -> Any:
    """A pandas frame of text columns.

    ``header`` says whether the first line names them (None: it does if no cell of it is a number);
    ``options`` are pandas'.
    """
    import pandas

    lines = content[:65536].decode("utf-8-sig", errors="ignore").splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if header is None:
        header = names_columns(first)
    return pandas.read_csv(
        io.BytesIO(content),
        sep=_separator(first) or r"\s+",
        header=0 if header else None,
        comment="#",
        skipinitialspace=True,
        encoding="utf-8-sig",
        **options,
    )


def names_columns(line: str) -> bool:
    """Whether the first line of text columns names them: no cell of it is a number."""
    return not any(_is_number(cell) for cell in line.split(_separator(line)))


def _separator(line: str) -> str | None:
    return next((mark for mark in "\t,;" if mark in line), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().strip('"'))
    except ValueError:
        return False
    return True
