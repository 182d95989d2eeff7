"""The items to predict, from INPUT arguments (folders, files, a manifest)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seqbelt.data.sources.dataset import READING_SETTINGS, Data
from seqbelt.data.sources.folders import list_files
from seqbelt.data.sources.manifest import ROWS_AT_ONCE, Manifest
from seqbelt.data.sources.names import clean_name, shorten
from seqbelt.data.sources.tables import is_manifest
from seqbelt.data.sources.text_encoding import check_encoding_name, read_text_file
from seqbelt.errors import SettingsError
from seqbelt.features.base import Features, Source
from seqbelt.inference.folder import Item
from seqbelt.inference.output import is_prediction_file
from seqbelt.settings import override


def parse_inputs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Separate files and folders from ``data.KEY=VALUE`` settings of a manifest.

    Raises SettingsError for a missing file and a setting that does not apply to manifests.
    """
    settings = [a for a in arguments if re.match(r"data\.\w+=", a) and not Path(a).exists()]
    for setting in settings:
        name = setting.partition("=")[0].removeprefix("data.")
        if name not in READING_SETTINGS:
            raise SettingsError(
                f"data.{name}: does not apply to a manifest; use one of "
                f"{', '.join(READING_SETTINGS)}"
            )
    paths = [Path(argument) for argument in arguments if argument not in settings]
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
) -> tuple[str, Iterator[Item]]:
    """The first column's name and an iterator of the items.

    A folder gives every file below it, named by its path within the folder, prefixed by the folder
    if there are several inputs; a manifest gives its rows, read with ``settings`` such as
    ``data.quoting=false``; any other file is an item. Journals and prediction files of earlier runs
    are skipped. An item has a label if the manifest has one, or if the file is in a sub-folder with
    a class's name. Remarks are appended to ``notes`` while the iterator runs.
    """
    notes = [] if notes is None else notes
    for_texts = [s for s in settings if features.reads_text and s.startswith("data.encoding=")]
    has_table_settings = len(settings) > len(for_texts)
    manifests = [path for path in inputs if is_manifest(path, features, has_table_settings)]
    if manifests and len(inputs) > 1:
        raise SettingsError(f"INPUT {manifests[0]}: a manifest must be the only input")
    source = str(manifests[0] if manifests else inputs[0])
    data = Data.parse(override({"data": {"source": source}}, settings)["data"], origin="INPUT")
    if manifests:
        manifest = data.list_items(features)
        notes += manifest.notes
        return _rows(manifest)
    if has_table_settings:
        first = next(setting for setting in settings if setting not in for_texts)
        raise SettingsError(f"{first}: applies to a manifest only, and INPUT is not one")
    check_encoding_name(data.encoding)
    encoding = data.encoding if for_texts else "utf-8"
    names = {clean_name(name): name for name in classes}
    return "path", _files(inputs, names, encoding, notes)


def _rows(manifest: Manifest) -> tuple[str, Iterator[Item]]:
    key = "id" if manifest.arrays or "text" in manifest.table.column_names else "path"
    labelled = (
        (name, label or None)
        for batch in manifest.table.select([key, "label"]).to_batches(ROWS_AT_ONCE)
        for name, label in zip(*(column.to_pylist() for column in batch), strict=True)
    )
    items = zip(labelled, manifest.sources(), strict=True)
    return key, (Item(name, source, label) for (name, label), source in items)


def _files(
    inputs: Sequence[Path], classes: Mapping[str, str], encoding: str, notes: list[str]
) -> Iterator[Item]:
    earlier: list[str] = []
    for path in inputs:
        if not path.is_dir():
            yield Item(str(path), _content(path, encoding))
            continue
        folder_notes: list[str] = []
        for name in list_files(path, folder_notes):
            if is_prediction_file(path / name):
                earlier.append(name)
                continue
            item_name = f"{path}/{name}" if len(inputs) > 1 else name
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
