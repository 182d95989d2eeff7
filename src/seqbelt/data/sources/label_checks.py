"""Whether the labels of a source can be learned: refusals, and notes of what is doubtful."""

from collections.abc import Collection, Sequence

from seqbelt.data.labels.label_sets import NO_LABELS
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import shorten
from seqbelt.data.sources.raw_tables import listed
from seqbelt.errors import SettingsError

MANY_CLASSES = 0.5
"""Share of different labels among the rows from which the column may be the wrong one."""
ROWS_TO_JUDGE = 20


def refuse_no_labels(
    manifest: Manifest, source: str, label_column: str, label_columns: Sequence[str]
) -> None:
    """Raise SettingsError where no row of a source has a label."""
    if {*manifest.column("label")} - {"", NO_LABELS}:
        return
    if label_columns:
        raise SettingsError(
            f"{source}: data.label_columns: no row has 1 in one of {shorten(label_columns)}"
        )
    first = next(iter(manifest.problems.values()), None)
    columns = ", ".join(name or "''" for name in manifest.columns_found[:30])
    raise SettingsError(
        f"{source}: no column '{label_column}' with a label in it"
        + (f"; found {columns}" if columns else "")
        + "; name yours in data.label_column"
        + (f". First reason: {first}" if first else "")
    )


def doubt_labels(manifest: Manifest, label_column: str) -> str:
    """A question where nearly every row has a label of its own; "" for other columns."""
    labels = [label for label in manifest.column("label") if label]
    num_classes = len(set(labels))
    if len(labels) < ROWS_TO_JUDGE or num_classes < MANY_CLASSES * len(labels):
        return ""
    others = [name for name in manifest.columns_found if name != label_column]
    others_text = f" The other columns: {listed(others)}." if others else ""
    return (
        f"{num_classes:,} different labels in {len(labels):,} rows: is '{label_column}' the column "
        f"with the classes (data.label_column)?{others_text}"
    )


def describe_unlabeled(manifest: Manifest) -> str:
    """How many rows without a label are read as having none of them; "" where all have one."""
    count = sum(
        label in ("", NO_LABELS) and row not in manifest.problems
        for row, label in enumerate(manifest.column("label"))
    )
    if not count:
        return ""
    return f"{count:,} of {len(manifest):,} rows have no label: read as none of the labels"


def describe_background(manifest: Manifest, label_column: str, background: str) -> str:
    """How many recordings are background throughout for want of a table of segments; "" where
    none is, or where the recordings' own tables may have the labels."""
    count = sum(path is None for path in manifest.segments())
    if not count or label_column in manifest.columns_found:
        return ""
    return (
        f"recordings without a table of segments: {count:,} of {len(manifest):,}; all of their "
        f"steps are '{background}', unless their own table has a column '{label_column}'"
    )


def check_order(order: Sequence[str], labels: Collection[str], source: str) -> str:
    """Which classes of the order no row has; "" where all occur.

    Raises SettingsError for classes that are not in the order.
    """
    if missing := sorted({*labels} - {*order}):
        raise SettingsError(
            f"data.order: {source}: the class{'es' * (len(missing) > 1)} "
            f"{shorten([repr(name) for name in missing])} "
            f"{'are' if len(missing) > 1 else 'is'} not in the list {[*order]}; add "
            f"{'them' if len(missing) > 1 else 'it'}, or use data.label_map"
        )
    absent = [name for name in order if name not in labels]
    if not absent:
        return ""
    return (
        f"data.order: no row has the class {shorten(map(repr, absent))}; "
        "distances are counted between the classes that occur"
    )
