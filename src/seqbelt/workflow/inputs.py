"""The items to predict, from INPUT arguments (folders, files, a manifest)."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

from seqbelt.data.sources.archives import is_archive, list_archive
from seqbelt.data.sources.dataset import Data
from seqbelt.data.sources.file_walk import list_files
from seqbelt.data.sources.folders import without_label_tracks
from seqbelt.data.sources.item_source import READING_SETTINGS
from seqbelt.data.sources.manifest import ROWS_AT_ONCE, Manifest
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.data.sources.remote import fetch, is_remote
from seqbelt.data.sources.tables import is_manifest, is_series_file, read_columns
from seqbelt.data.sources.text_encoding import check_encoding_name, read_text_file
from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.base import Features, Source
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.inference.folder import Item
from seqbelt.inference.output import is_prediction_file
from seqbelt.settings import override

PathStyle = Literal["input", "output", "absolute"]
"""What paths in the output are relative to: as given, to the output's folder, or to nothing."""


class Inputs(NamedTuple):
    """The items, the name of their first column, and of the columns that they keep."""

    key: str
    items: Iterator[Item]
    kept: tuple[str, ...] = ()


def parse_inputs(
    arguments: Sequence[str], has_report: bool = False
) -> tuple[list[Path], list[str]]:
    """Separate files and folders from ``data.KEY=VALUE`` settings of a manifest and, for a
    command that ``has_report``, ``report.KEY=VALUE`` of the report.

    Raises SettingsError for a missing file and a setting that does not apply to manifests.
    """
    pattern = r"(data|report)\.\w+=" if has_report else r"data\.\w+="
    settings = [a for a in arguments if re.match(pattern, a) and not Path(a).exists()]
    for setting in settings:
        if setting.startswith("report."):
            continue
        name = setting.partition("=")[0].removeprefix("data.")
        if name not in READING_SETTINGS:
            raise SettingsError(
                f"data.{name}: does not apply to a manifest; use one of "
                f"{', '.join(READING_SETTINGS)}"
            )
    paths = [
        fetch(argument) if is_remote(argument) else Path(argument)
        for argument in arguments
        if argument not in settings
    ]
    for path in paths:
        if not path.exists():
            raise SettingsError(f"INPUT {path}: no such file or folder")
    if not paths:
        raise SettingsError("INPUT: give a file or a folder")
    return paths, settings


def list_items(
    inputs: Sequence[Path],
    features: Features,
    settings: Sequence[str] = (),
    classes: Sequence[str] = (),
    notes: list[str] | None = None,
    keep_columns: bool = False,
    relative_to: Path | None = None,
    reading: Mapping[str, Any] | None = None,
    labels_steps: bool = False,
) -> Inputs:
    """The items of the inputs.

    A folder gives every file below it, named by its path within the folder, prefixed by the folder
    if there are several inputs; a manifest gives its rows, read with ``settings`` such as
    ``data.quoting=false``; any other file is an item. Journals and prediction files of earlier runs
    are skipped. An item has a label if the manifest has one, or if the file is in a sub-folder with
    a class's name. Remarks are appended to ``notes`` while the iterator runs.

    ``keep_columns`` lets each item carry the values of its row in the manifest, or, of a file, its
    known class and its text. With ``relative_to`` paths are named relative to that folder; the root
    gives absolute paths. A manifest is read by the ``data`` settings ``reading`` of the training
    data where they apply to it, else by the defaults. Where a model ``labels_steps``, Audacity's
    labels beside the recordings of a folder are no items.
    """
    notes = [] if notes is None else notes
    for_texts = [s for s in settings if features.reads_text and s.startswith("data.encoding=")]
    has_table_settings = len(settings) > len(for_texts)
    manifests = [path for path in inputs if is_manifest(path, features, has_table_settings)]
    if manifests and len(inputs) > 1:
        raise SettingsError(f"INPUT {manifests[0]}: a manifest must be the only input")
    source = str(manifests[0] if manifests else inputs[0])
    given = override({"data": {"source": source}}, settings)["data"]
    data = Data.parse(given, origin="INPUT")
    if manifests:
        data, manifest = _read_manifest(data, given, features, reading or {}, notes)
        if is_prediction_file(manifests[0]):
            notes.append(
                f"{manifests[0]}: holds predictions; its labels are those, and the accuracy is the "
                "agreement with them"
            )
        columns = {} if not keep_columns else _columns(data, manifest)
        return _rows(manifest, columns, relative_to)
    if isinstance(features, SeveralInputs):
        raise SettingsError(
            f"INPUT {inputs[0]}: is not a manifest, and this model has several inputs or "
            "columns; give a manifest with the columns that it was trained on"
        )
    if has_table_settings:
        first = next(setting for setting in settings if setting not in for_texts)
        raise SettingsError(f"{first}: applies to a manifest only, and INPUT is not one")
    check_encoding_name(data.encoding)
    encoding = data.encoding if for_texts else "utf-8"
    names = {clean_name(name): name for name in classes}
    archives = [path for path in inputs if is_archive(path) and path.is_file()]
    if archives and len(inputs) > 1:
        raise SettingsError(f"INPUT {archives[0]}: an archive must be the only input")
    if archives:
        items = _archived(archives[0], names)
    else:
        items = _files(inputs, names, encoding, notes, relative_to, labels_steps)
    if not keep_columns:
        return Inputs("path", items)
    texts = features if features.reads_text else None
    kept = ("label", "text") if texts else ("label",)
    return Inputs("path", (_with_text(item, texts) for item in items), kept)


def _read_manifest(
    data: Data,
    given: Mapping[str, Any],
    features: Features,
    reading: Mapping[str, Any],
    notes: list[str],
) -> tuple[Data, Manifest]:
    """The rows of a manifest: read as the training data was, else as ``data`` alone says."""
    if not (trained := {key: value for key, value in reading.items() if key not in given}):
        return data, _listed(data, features, notes)
    try:
        as_trained = Data.parse({**trained, **given}, origin="INPUT")
        listed = _listed(as_trained, features, notes)
    except SettingsError as first_error:
        try:
            return data, _listed(data, features, notes)
        except SettingsError:
            raise first_error from None
    settings = ", ".join(
        f"data.{key}={value}"
        for key, value in trained.items()
        if not key.endswith("_column") or clean_name(str(value)) in listed.columns_found
    )
    if settings:
        notes.append(f"{data.source}: read as the training data, with {settings}")
    return as_trained, listed


def _listed(data: Data, features: Features, notes: list[str]) -> Manifest:
    manifest = data.list_items(features)
    notes += manifest.notes
    return manifest


def _archived(path: Path, classes: Mapping[str, str]) -> Iterator[Item]:
    """The files of an archive, named by their paths in it."""
    for name, content in zip(*list_archive(path), strict=True):
        yield Item(name, content, _class_of(name, classes))


def _columns(data: Data, manifest: Manifest) -> dict[str, list[str]]:
    """The columns of a manifest as they are written, without the one that names the rows."""
    path = Path(data.source)
    if is_series_file(path):
        return {"label": manifest.column("label").tolist()}
    columns = read_columns(path, data.style, (data.path_column, data.text_column), True)
    key = data.id_column if "text" in manifest.table.column_names else data.path_column
    columns.pop(key, None)
    assert all(len(values) == len(manifest) for values in columns.values())
    return columns


def _with_text(item: Item, features: Features | None) -> Item:
    kept = [item.label or ""]
    if features is not None:
        try:
            kept.append(features.read(item.source))
        except BadInput:  # the row has the reason
            kept.append("")
    return item._replace(kept=tuple(kept))


def name_path(path: Path, relative_to: Path) -> str:
    """A path as a name in an output below ``relative_to``; below the root it is absolute."""
    path = path.absolute()
    return str(path) if relative_to == Path("/") else os.path.relpath(path, relative_to.absolute())


def _rows(
    manifest: Manifest, columns: Mapping[str, Sequence[str]], relative_to: Path | None
) -> Inputs:
    has_paths = manifest.joined is None or ("path", False) in manifest.joined.inputs
    has_texts = "text" in manifest.table.column_names
    key = "id" if manifest.contents or has_texts or not has_paths else "path"
    labelled = (
        (name, label or None)
        for batch in manifest.table.select([key, "label"]).to_batches(ROWS_AT_ONCE)
        for name, label in zip(*(column.to_pylist() for column in batch), strict=True)
    )
    paths = manifest.paths() if key == "path" and relative_to is not None else []
    kept = zip(*columns.values(), strict=True) if columns else repeat((), len(manifest))

    def items() -> Iterator[Item]:
        rows = zip(labelled, manifest.sources(), kept, strict=True)
        for row, ((name, label), source, values) in enumerate(rows):
            if not name and manifest.joined is not None:  # the input with the paths is missing
                name = f"row {row + 1}"
            elif paths and relative_to is not None:
                name = name_path(manifest.root / paths[row], relative_to)
            yield Item(name, source, label, values)

    return Inputs(key, items(), tuple(columns))


def _files(
    inputs: Sequence[Path],
    classes: Mapping[str, str],
    encoding: str,
    notes: list[str],
    relative_to: Path | None,
    labels_steps: bool,
) -> Iterator[Item]:
    earlier: list[str] = []
    for path in inputs:
        if not path.is_dir():
            name = str(path) if relative_to is None else name_path(path, relative_to)
            yield Item(name, _content(path, encoding))
            continue
        folder_notes: list[str] = []
        names: Iterable[str] = list_files(path, folder_notes, lists_failed=True)
        if labels_steps:
            names = without_label_tracks(list(names))
        for name in names:
            if is_prediction_file(path / name):
                earlier.append(name)
                continue
            item_name = f"{path}/{name}" if len(inputs) > 1 else name
            if relative_to is not None:
                item_name = name_path(path / name, relative_to)
            yield Item(item_name, _content(path / name, encoding), _class_of(name, classes))
        notes += [f"{path}: {note}" for note in folder_notes]
    if earlier:
        notes.append(f"skipped files of earlier predictions: {shorten(earlier)}")


def _content(path: Path, encoding: str) -> Source:
    return path if encoding == "utf-8" else read_text_file(path, encoding)


def _class_of(name: str, classes: Mapping[str, str]) -> str | None:
    """The first folder in a path with a class's name: ``dog`` for ``test/dog/7.wav``."""
    if "/" not in name:
        return None
    parts = (part if part.isascii() else clean_name(part) for part in name.split("/")[:-1])
    return next((classes[part] for part in parts if part in classes), None)
