"""``seqbelt init``: write a commented config for a folder or a table, and report faults of the
data."""

import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqbelt.data.labels.label_sets import unpack_labels
from seqbelt.data.sources.archives import is_archive
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.item_kinds import Look, find_duplicates, find_rare
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import (
    find_folds,
    find_lookalikes,
    find_lost_digits,
    find_mangled,
    find_missing,
    list_counts,
)
from seqbelt.data.sources.tables import is_manifest_file, remedy_for_arrays
from seqbelt.data.store.parts import write_atomically
from seqbelt.errors import BadInput, SettingsError
from seqbelt.experiment import NOT_IN_NAMES, Experiment
from seqbelt.features.encoding import hash_content
from seqbelt.settings import override
from seqbelt.words import count_of
from seqbelt.workflow.console import bar, format_time
from seqbelt.workflow.outcome import Outcome
from seqbelt.workflow.source_findings import Findings, look_into_folder, look_into_manifest
from seqbelt.workflow.training_time import measure_training_s

GRADES = tuple(map(str, range(11)))
"""Numbers that classes may have as grades."""
MAX_PROBLEMS = 3
"""Rows that cannot be read, up to which each is named."""
MAX_HASHED = 20_000
"""Largest number of items of equal size whose contents are compared for duplicates."""


def init(
    source: Path,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    pattern: str | None = None,
    force: bool = False,
    show: bool = True,
) -> Outcome:
    """Inspect ``source``, write the config, and report the settings with their reasons.

    ``overrides`` set what the data does not determine, as in ``data.label_column=genre``, and
    ``pattern`` finds labels and groups in the names of files. The config has been loaded and its
    items listed before it is written. Raises SettingsError where two readings are possible.
    """
    if not source.exists():
        raise SettingsError(f"FOLDER|TABLE {source}: no such file or folder")
    output = output or Path(f"{_name_of(source)}.yaml")
    name = _name_of(output)
    items = output.with_name(f"{output.stem}_items.csv")
    findings = Findings({"source": str(source)}, override({}, overrides), output.parent)
    if source.is_dir():
        look = look_into_folder(source, pattern, findings)
    elif is_manifest_file(source):
        if pattern:
            raise SettingsError(
                "--pattern: applies to the names of a folder's files, but the source is a table"
            )
        look = look_into_manifest(source, findings)
    elif is_archive(source):
        raise SettingsError(
            f"{source}: init does not look into archives, which prepare and train read: unpack it, "
            f"or write a config with data.source: {source} and a features.kind"
        )
    else:
        raise SettingsError(
            f"{source}: neither a folder nor a table of items (.csv, .tsv, .jsonl, .parquet, "
            f".xlsx){remedy_for_arrays(source)}"
        )
    if findings.items is not None:
        findings.data["source"] = str(items)
    for path in [output, *([items] if findings.items is not None else [])]:
        if path.exists() and not force:
            raise SettingsError(f"{path} exists; choose another with --output, or add --force")
    output.parent.mkdir(parents=True, exist_ok=True)
    config = _write_yaml(name, look, findings)
    experiment, manifest = _check(config, items, findings, overrides)
    write_atomically(output, config.encode())
    if findings.items is not None:
        write_atomically(items, findings.items.encode())

    several = experiment.data.labels == "several"
    counts = _count_labels(manifest.column("label").tolist(), several)
    splits = Counter(manifest.column("split").tolist())
    num_train = splits["train"]
    plan = experiment.training.resolve(num_train, experiment.features.is_tokens).plan(num_train)
    warnings = [*manifest.notes, *look.warnings, *_find_faults(manifest, counts, experiment.data)]
    result = {
        "config": str(output),
        "kind": look.kind,
        "num_items": len(manifest),
        "classes": {label: count for label, count in sorted(counts.items()) if label},
        "reasons": {
            **{f"data.{key}": why for key, why in findings.reasons.items()},
            **{f"features.{key}": why for key, why in look.reasons.items()},
        },
        "warnings": warnings,
    }
    if show:
        _print(result, look, findings, splits, plan.sentence)
        if (seconds := measure_training_s(experiment, manifest)) is not None:
            print(f"on this machine: about {format_time(seconds)}")
    return Outcome(result)


def _write_yaml(name: str, look: Look, findings: Findings) -> str:
    """The config: one line for each setting, with the reason as a comment above it."""
    given = findings.given
    sections = {
        "data": {**findings.data, **findings.given_data},
        "features": {**look.settings, **(given.get("features") or {})},
        "model": {"cell": "lstm", **(given.get("model") or {})},
    }
    reasons = {"data": findings.reasons, "features": look.reasons, "model": {}}
    others = {key: value for key, value in given.items() if key not in (*sections, "name")}
    lines = [
        "# Written by seqbelt init. Every comment gives the reason of the line below it.",
        f"name: {_scalar(given.get('name', name))}",
    ]
    for section, settings in sections.items():
        lines.append(f"{section}:")
        for key, value in settings.items():
            if why := reasons[section].get(key):
                lines.append(f"  # {_one_line(why)}")
            lines.append(f"  {key}: {_scalar(value)}")
        usual = {key: why for key, why in reasons[section].items() if key not in settings}
        lines += [
            f"  # {key}: {_scalar(key.removesuffix('_column'))}  # {_one_line(why)}"
            for key, why in usual.items()
            if key.endswith("_column")
        ]
    lines += [f"{key}: {_scalar(value)}" for key, value in others.items()]
    return "\n".join(lines) + "\n"


def _scalar(value: object) -> str:
    """A value in one line of YAML."""
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _check(
    config: str, items: Path, findings: Findings, overrides: Sequence[str]
) -> tuple[Experiment, Manifest]:
    """Load the config and list its items with their parts, before anything is written."""
    # Paths in the list are relative to its folder, so it is written there.
    listed = items.with_name(f".{os.getpid()}_{items.name}")
    replaced = [*overrides]
    try:
        if findings.items is not None:
            listed.write_text(findings.items, encoding="utf-8")
            replaced.append(f"data.source={json.dumps(str(listed))}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "config.yaml")
            path.write_text(config, encoding="utf-8")
            experiment = Experiment.load(path, replaced)
        return experiment, experiment.data.load(experiment.features)
    finally:
        listed.unlink(missing_ok=True)


def _count_labels(labels: Sequence[str], several: bool) -> Counter[str]:
    """How many items have each label; the empty one counts those without any."""
    if not several:
        return Counter(labels)
    return Counter(name for packed in labels for name in unpack_labels(packed) or ("",))


def _find_faults(manifest: Manifest, counts: Counter[str], data: Data) -> list[str]:
    """Faults of the items: duplicates, rare classes, missing and similar labels."""
    labelled = {label: count for label, count in counts.items() if label}
    faults = [
        *find_lookalikes(labelled, "classes"),
        *find_missing(labelled, "class"),
        *find_mangled(labelled, "class"),
        *find_lost_digits(labelled, "class"),
        *find_folds(labelled),
        *find_rare(labelled),
        *_describe_problems(manifest.problems),
    ]
    if data.labels_steps:
        num_without = manifest.segments().count(None)
        if num_without and data.background is None:
            faults.append(
                f"without a table of segments: {count_of(num_without, 'item')} (data.background="
                "CLASS: of this class is all that no segment covers)"
            )
    elif counts[""]:
        is_several = data.labels == "several"
        remedy = " (data.unlabeled=negative: none of the labels)" if is_several else ""
        faults.append(f"without a label: {count_of(counts[''], 'item')}{remedy}")
    if not data.order and data.labels == "per_sequence":
        faults += _note_grades(list(labelled))
    if len(labelled) == 1:
        faults.append("there is only one class; a classifier needs two")
    sources = list(manifest.sources())
    sizes = [_size_of(source) for source in sources]
    often = Counter(sizes)
    same = [
        row
        for row, size in enumerate(sizes)
        if often[size] > 1 and row not in manifest.problems  # such a row has no content
    ]
    if len(same) > MAX_HASHED:
        faults.append(
            f"the contents of {count_of(len(same) - MAX_HASHED, 'item')} were not compared; "
            "seqbelt data audit compares all"
        )
    hashes = [""] * len(sources)
    with bar("comparing contents", len(same[:MAX_HASHED])) as progress:
        for row in same[:MAX_HASHED]:
            try:
                hashes[row] = hash_content(sources[row])
            except BadInput as error:
                faults.append(f"{sources[row]}: {error}")
            progress()
    names = manifest.column("id").tolist()
    return faults + find_duplicates(names, hashes, manifest.column("label").tolist())


def _describe_problems(problems: Mapping[int, str]) -> list[str]:
    """The first rows that cannot be read, and how many there are."""
    reasons = [why for _, why in sorted(problems.items())]
    if len(reasons) > MAX_PROBLEMS:
        reasons[MAX_PROBLEMS:] = [
            f"{len(reasons):,} rows in all cannot be read; prepare lists them in quarantine.csv"
        ]
    return reasons


def _note_grades(labels: Sequence[str]) -> list[str]:
    """A sentence where the classes may be grades: a few whole numbers."""
    if len(labels) < 3 or any(label not in GRADES for label in labels):
        return []
    grades = ", ".join(sorted(labels, key=int))
    return [
        "the classes are numbers and taken as classes without an order; if 2 is nearer to 1 than 3 "
        f"is, as with grades, set data.order: [{grades}]"
    ]


def _size_of(source: Any) -> int:
    """Size in bytes or characters; contents of different sizes differ."""
    if isinstance(source, Path):
        try:
            return source.stat().st_size
        except OSError:
            return -1
    return source.nbytes if isinstance(source, np.ndarray) else len(source)


def _name_of(source: Path) -> str:
    stem = source.resolve().name if source.is_dir() else source.resolve().stem
    name = "".join(" " if char in NOT_IN_NAMES or not char.isprintable() else char for char in stem)
    return "_".join(name.split()).strip("._") or "data"


def _print(
    result: dict[str, Any], look: Look, findings: Findings, splits: Counter[str], plan: str
) -> None:
    print(f"{look.kind}: {count_of(result['num_items'], 'item')}; lengths: {look.lengths}")
    if result["classes"]:
        print(f"classes: {list_counts(result['classes'])}")
    print("parts: " + ", ".join(f"{part or 'none'} {n:,}" for part, n in sorted(splits.items())))
    for key, why in result["reasons"].items():
        section, name = key.split(".")
        chosen = findings.data | findings.given_data if section == "data" else look.settings
        value = chosen.get(name, name.removesuffix("_column"))  # a column under its usual name
        if isinstance(value, tuple):
            value = ", ".join(value)
        print(_one_line(f"{key}: {value} ({why})"))
    print(f"training: {plan}")
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
