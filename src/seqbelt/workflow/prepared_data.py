"""Bring the store of an experiment up to date, and print its contents."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from seqbelt.data.sources.names import (
    find_folds,
    find_lookalikes,
    find_lost_digits,
    find_mangled,
    find_missing,
    list_counts,
)
from seqbelt.data.store.part_summary import SPLITS, describe_equal_content, summarize_parts
from seqbelt.data.store.preparation import Encode, Prepared
from seqbelt.data.store.preparation import prepare as prepare_store
from seqbelt.data.store.readings import describe_readings
from seqbelt.data.store.store import SequenceStore
from seqbelt.errors import SeqbeltError
from seqbelt.experiment import Experiment
from seqbelt.features.encoding import encode_sources
from seqbelt.features.text.encoder import TextCounts
from seqbelt.words import count_of, percent
from seqbelt.workflow.console import bar, echo

MAX_FINDINGS = 10
LONGEST_PREPARATION_S = 24 * 3600.0


def prepare_data(
    experiment: Experiment, wait_s: float = 0.0, encode: Encode = encode_sources
) -> Prepared:
    """Bring the experiment's store up to date, or wait until another process has done so."""
    manifest = experiment.data.load(experiment.features)
    for note in manifest.notes:
        echo(note)
    settings = {"data": experiment.data.to_dict(), "features": experiment.features.to_dict()}
    with bar("preparing", len(manifest)) as progress:
        prepared = prepare_store(
            manifest,
            experiment.features,
            experiment.store_folder,
            settings,
            progress,
            experiment.data.labelling(experiment.features),
            wait_s,
            encode,
            None
            if _is_split_already(experiment.store_folder, settings["data"])
            else partial(experiment.data.load, experiment.features),
        )
    about = prepared.store.about
    parts, *remarks = summarize_parts(prepared.store, prepared.manifest)
    remarks += describe_equal_content(prepared.store)
    status = "up to date" if prepared.skipped else f"{prepared.num_encoded:,} encoded"
    echo(f"{prepared.store.folder}: {parts}; {status} in {prepared.prepare_s:.1f} s")
    for remark in (*remarks, *about.get("feature_notes", ())):
        echo(remark)
    describe_classes(prepared.store)
    if counts := prepared.store.token_counts:
        echo(_describe_tokens(counts))
    for line in describe_readings(about.get("readings", {})):
        echo(line)
    if prepared.num_quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in about["quarantined"].items())
        echo(f"quarantined: {reasons}; see {prepared.store.folder / 'quarantine.csv'}")
    return prepared


def _is_split_already(folder: Path, data: Mapping[str, object]) -> bool:
    """Whether the folder has a store of these settings (of any fold) that was split before rows of
    the same content were kept together: its splits stay as they are."""
    try:
        about = SequenceStore(folder).about
        stored = dict(about["settings"]["data"])
    except (SeqbeltError, LookupError, TypeError, AttributeError):
        return False
    if "equal_content" in about:
        return False
    return all(data.get(name) == value for name, value in stored.items() if name != "fold")


def describe_classes(store: SequenceStore) -> None:
    """Print the classes with their counts, and names that may be misspelt."""
    counts = store.class_counts
    of_what = ", by the items that have them" if store.target.labels_steps else ""
    echo(f"{count_of(len(counts), 'class', 'classes')}{of_what}: {list_counts(counts)}")
    if store.target.labels_steps:
        _describe_steps(store)
    groups: dict[str, int] = store.about.get("group_counts", {})
    for kind, names in (("classes", counts), ("groups", groups)):
        for finding in find_lookalikes(names, kind)[:MAX_FINDINGS]:
            echo(f"{store.folder}: {finding}")
    findings = find_missing(counts, "class") + find_missing(groups, "group")
    findings += find_lost_digits(counts, "class") + find_lost_digits(groups, "group")
    for finding in findings + find_folds(counts) + find_mangled(counts, "class"):
        echo(f"{store.folder}: {finding}")
    without = store.about.get("num_sequences", 0) - sum(groups.values())
    if groups and without > 0:
        echo(f"{store.folder}: {count_of(without, 'row')} without a group: each is its own")


def _describe_steps(store: SequenceStore) -> None:
    """Print how many steps have each label, and how many none."""
    parts = [part for part in map(store.split, SPLITS) if len(part)]
    counts = sum(store.target.class_counts(part, len(store.classes)) for part in parts)
    listed = list_counts(dict(zip(store.classes, np.asarray(counts).tolist(), strict=True)))
    without = store.about["num_steps"] - int(np.sum(counts))
    echo(f"steps: {listed}" + (f"; {without:,} without a label" if without else ""))


def _describe_tokens(counts: Mapping[str, TextCounts]) -> str:
    """Fractions of truncated and unknown tokens, as one line."""
    parts = {name: counts[name] for name in SPLITS if name in counts}
    total = sum(parts.values(), TextCounts())
    unknown = ", ".join(
        f"{percent(count.unknown_share, 2)} {name}" for name, count in parts.items()
    )
    return (
        f"tokens: {total.num_tokens:,}; features.truncate_tokens cuts "
        f"{percent(total.cut_share, 2)} of the texts, "
        f"{percent(total.lost_share, 2)} of the tokens; unknown: {unknown}"
    )
