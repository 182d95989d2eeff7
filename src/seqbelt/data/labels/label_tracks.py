"""Label tracks of Audacity and selection tables of Raven: text files with tabs and seconds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqbelt.errors import UNREADABLE, WRONG_SHAPE, BadInput

RAVEN_BEGIN, RAVEN_END = "Begin Time (s)", "End Time (s)"
RAVEN_LABELS = ("Annotation", "Label", "Species", "Common Name")
"""Columns that hold labels in selection tables, where ``data.label_column`` names none."""
MAX_BYTES = 100_000_000


class LabelRow(NamedTuple):
    """One segment as a file has it."""

    position: str
    """Where it stands in the file, for messages."""
    start: str
    end: str
    label: str
    unit_s: float = 1.0
    """Seconds in the unit of ``start`` and ``end``."""


def read_label_track(path: Path, label_column: str) -> Iterator[LabelRow]:
    """The rows of a .txt file that Audacity or Raven has written.

    Raises BadInput where it is neither.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(UNREADABLE, f"{path.name}: over {MAX_BYTES // 10**6} MB of labels")
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(UNREADABLE, f"{path.name}: cannot be read as UTF-8 ({error})") from None
    if lines and RAVEN_BEGIN in lines[0].split("\t"):
        return _read_raven(path, lines, label_column)
    return _read_audacity(path, lines)


def _read_audacity(path: Path, lines: list[str]) -> Iterator[LabelRow]:
    for number, line in enumerate(lines, start=1):
        # A line that begins with a backslash has the frequencies of the label above it.
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise BadInput(
                WRONG_SHAPE,
                f"{path.name}, line {number}: '{line[:80]}' is neither a label of Audacity (start, "
                f"end, label, between tabs) nor below a header of Raven with '{RAVEN_BEGIN}'",
            )
        start, end, label = (cell.strip() for cell in cells)
        yield LabelRow(f"line {number}", start, end, label)


def _read_raven(path: Path, lines: list[str], label_column: str) -> Iterator[LabelRow]:
    header = [name.strip() for name in lines[0].split("\t")]
    label_at = header.index(_raven_label(path, header, label_column))
    begin_at, end_at = (_position(path, header, name) for name in (RAVEN_BEGIN, RAVEN_END))
    file_at = header.index("Begin File") if "Begin File" in header else None
    files, seen = set[str](), set[tuple[str, str, str]]()
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(header):
            raise BadInput(
                WRONG_SHAPE,
                f"{path.name}, line {number}: {len(cells)} values under {len(header)} columns",
            )
        if file_at is not None:
            files.add(cells[file_at])
        if len(files) > 1:
            raise BadInput(
                WRONG_SHAPE,
                f"{path.name}, line {number}: a second recording in 'Begin File' "
                f"('{cells[file_at or 0]}'); save one table for each recording",
            )
        # A selection stands once for each view (waveform and spectrogram).
        row = cells[begin_at], cells[end_at], cells[label_at]
        if row not in seen:
            seen.add(row)
            yield LabelRow(f"line {number}", *row)


def _position(path: Path, header: list[str], name: str) -> int:
    if name not in header:
        raise BadInput(WRONG_SHAPE, f"{path.name}: no column '{name}'; found {', '.join(header)}")
    return header.index(name)


def _raven_label(path: Path, header: list[str], label_column: str) -> str:
    """The column with the labels: the one that the settings name, or the only usual one."""
    if label_column in header:
        return label_column
    usual = [name for name in RAVEN_LABELS if name in header]
    if len(usual) == 1:
        return usual[0]
    columns = f"both {' and '.join(usual)}" if usual else ", ".join(header)
    raise BadInput(
        WRONG_SHAPE,
        f"{path.name}: no column '{label_column}'; found {columns}; name the one with the labels "
        "in data.label_column",
    )


def write_label_track(path: Path, segments: Sequence[Mapping[str, Any]]) -> None:
    """Write ``start_s``, ``end_s`` and ``label`` of segments as Audacity imports labels."""
    lines = [
        f"{segment['start_s']:.6f}\t{segment['end_s']:.6f}\t{segment['label']}\n"
        for segment in segments
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), "utf-8")


def write_selection_table(
    path: Path, segments: Sequence[Mapping[str, Any]], high_frequency_hz: float
) -> None:
    """Write segments, with their ``confidence``, as a selection table of Raven.

    ``high_frequency_hz`` is the upper edge of every selection, which Raven draws as a box.
    """
    header = ("Selection", "View", "Channel", RAVEN_BEGIN, RAVEN_END)
    header += ("Low Freq (Hz)", "High Freq (Hz)", "Annotation", "Confidence")
    rows = [
        (
            number, "Spectrogram 1", 1, f"{segment['start_s']:.6f}", f"{segment['end_s']:.6f}",
            0, f"{high_frequency_hz:g}", segment["label"], f"{segment['confidence']:.4f}",
        )
        for number, segment in enumerate(segments, start=1)
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (header, *rows)), "utf-8")
