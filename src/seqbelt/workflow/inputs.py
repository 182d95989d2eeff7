"""From INPUT arguments (folders, files, a manifest) to the items to predict."""

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
from seqbelt.inference.output import is_own_file
from seqbelt.settings import override


def parse_inputs(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files and folders apart from ``data.KEY=VALUE``: how a manifest among them is read.

    Raises SettingsError for a file that is not there and a setting that reads no manifest.
    """
    settings = [a for a in arguments if re.match(r"data\.\w+=", a) and not Path(a).exists()]
    for setting in settings:
        name = setting.partition("=")[0].removeprefix("data.")
        if name not in READING_SETTINGS:
            raise SettingsError(
                f"data.{name}: is no setting by which a manifest is read; those are "
                f"{', '.join(READING_SETTINGS)}"
            )
    paths = [Path(argument) for argument in arguments if argument not in settings]
    for path in paths:
        if not path.exists():
            raise SettingsError(f"INPUT {path}: no such file or folder")
    if not paths:
        raise SettingsError("INPUT: name a file or a folder")
    return paths, settings


def list_items(
    inputs: Sequence[Path],
    features: Features,
    settings: Sequence[str] = (),
    classes: Sequence[str] = (),
    notes: list[str] | None = None,
) -> tuple[str, Iterator[Item]]:
    """The first column's name and the items, found lazily.

    A folder gives every file below it, named by its path within the folder, and where there are
    several inputs by that folder too; a manifest gives its rows, read by ``settings`` as in
    ``data.quoting=false``; another file is itself an item. Journals and prediction files of earlier
    runs are no items of a folder. The class of an item is known where a manifest tells it, or where
    the file lies in a folder that has a class's name, within the folder that is read. What is
    notable is added to ``notes`` while the items are found.
    """
    notes = [] if notes is None else notes
    for_texts = [s for s in settings if features.reads_text and s.startswith("data.encoding=")]
    told_how = len(settings) > len(for_texts)
    manifests = [path for path in inputs if is_manifest(path, features, told_how)]
    if manifests and len(inputs) > 1:
        raise SettingsError(f"INPUT {manifests[0]}: a manifest must be the only input")
    source = str(manifests[0] if manifests else inputs[0])
    data = Data.parse(override({"data": {"source": source}}, settings)["data"], origin="INPUT")
    if manifests:
        manifest = data.list_items(features)
        notes += manifest.notes
        return _rows(manifest)
    if told_how:
        first = next(setting for setting in settings if setting not in for_texts)
        raise SettingsError(f"{first}: tells how a manifest is read; INPUT is none")
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
        said: list[str] = []
        for name in list_files(path, said):
            if is_own_file(path / name):
                earlier.append(name)
                continue
            shown = f"{path}/{name}" if len(inputs) > 1 else name
            yield Item(shown, _content(path / name, encoding), _class_of(name, classes))
        notes += [f"{path}: {note}" for note in said]
    if earlier:
        notes.append(f"files of earlier predictions are no inputs: {shorten(earlier)}")


def _content(path: Path, encoding: str) -> Source:
    return path if encoding == "utf-8" else read_text_file(path, encoding)


def _class_of(name: str, classes: Mapping[str, str]) -> str | None:
    """The first folder in a path that has a class's name: ``test/dog/7.wav`` is a dog's."""
    if "/" not in name:
        return None
    parts = (part if part.isascii() else clean_name(part) for part in name.split("/")[:-1])
    return next((classes[part] for part in parts if part in classes), None)
