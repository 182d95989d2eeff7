"""Where items come from and how a manifest is read: the first part of the ``data`` section."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from seqbelt.data.labels.label_sets import SeveralStyle, Unlabeled
from seqbelt.data.labels.targets import TargetName
from seqbelt.data.sources.archives import ENDINGS as ARCHIVE_ENDINGS
from seqbelt.data.sources.archives import is_archive, read_archive
from seqbelt.data.sources.file_paths import find_files
from seqbelt.data.sources.folders import read_class_folders, read_recordings
from seqbelt.data.sources.known_sets import KNOWN_SETS
from seqbelt.data.sources.label_map import map_label_sets, map_labels, normalize_label_map
from seqbelt.data.sources.manifest import JoinedColumns, Manifest
from seqbelt.data.sources.metadata_files import FILE_COLUMN, find_metadata, read_metadata
from seqbelt.data.sources.part_tables import find_part_tables, read_part_tables
from seqbelt.data.sources.raw_tables import Columns, Style, as_text
from seqbelt.data.sources.remote import fetch, fetch_listed, is_remote
from seqbelt.data.sources.tables import (
    ENDINGS,
    SERIES_ENDING,
    is_manifest_file,
    is_series_file,
    names_items,
    read_manifest,
    read_ts_files,
    remedy_for_arrays,
)
from seqbelt.data.sources.text_encoding import check_encoding_name
from seqbelt.errors import SettingsError
from seqbelt.features.base import Features
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.settings import Settings

READING_SETTINGS = (
    *(f"{name}_column" for name in Columns._fields),
    "header",
    "quoting",
    "encoding",
    "delimiter",
    "sheet",
    "labels_as_written",
)
"""Settings of ``Data`` on how a manifest is read; they apply to one to predict, too."""
_DELIMITERS = {r"\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def _typed_delimiter(value: object) -> object:
    r"""A delimiter as people type it: the two characters ``\t``, or its name."""
    if value == "":  # what YAML makes of ``delimiter: |``
        raise ValueError("write it in double quotes: YAML takes a bare | for its own")
    return _DELIMITERS.get(value.lower(), value) if isinstance(value, str) else value


def _label_text(value: object) -> object:
    """A label as a table has it: YAML reads 1 as a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return as_text(value) if is_number else value


Label = Annotated[str, BeforeValidator(_label_text), Field(min_length=1)]


class ItemSource(Settings):
    """Where the items come from, and how they and their labels are read."""

    source: str
    """A folder with one sub-folder per class (or train/, validation/, test/ above them), with a
    metadata.csv (.jsonl, .parquet) that lists its files (``file_name``), or with a manifest for
    each part (train.csv, test.csv); class folders in a .zip or .tar archive, WebDataset's shards
    (the first of them), a manifest (.csv, .tsv, .jsonl, .parquet, .xlsx; a Parquet file may hold
    the files' bytes), a .ts file, or the name of a known or generated set. Files and folders may be
    in an object store (``s3://``, ``gs://``, ``hf://``), and a manifest a table of a database
    (``sqlite:///FILE?table=NAME``)."""
    labels: TargetName = "per_sequence"
    """What is learned: one class a sequence, one for every step, or several labels a sequence
    (any number of them). Several labels are a list in .jsonl and .parquet, a text whose labels
    ``label_separator`` parts, or the ``label_columns``. Steps are labelled by a table of segments
    (``start_s``, ``end_s``, label) that the manifest names or that lies beside the recording as
    NAME.segments.csv (or Audacity's NAME.txt, or Raven's NAME.selections.txt), or else by
    ``label_column`` of the recording's own table. A step without a label is of the class
    ``background``, or, without one, neither learned nor scored."""
    background: Annotated[str, Field(min_length=1)] | None = None
    """With ``labels: per_step``, the class of what no segment covers, and of recordings without a
    table of segments."""
    unlabeled: Unlabeled = "quarantine"
    """With ``labels: several``, what a row without any label is: quarantined, or (negative) a row
    that has none of the labels."""
    label_map: dict[Label, Label | None] = Field(default_factory=dict)
    """New names of labels, applied as they are read: several old names with one new name are
    merged, and rows whose label maps to null are left out (with ``labels: several`` the label is,
    and the row stays). Other labels stay as they are. Not with ``labels: per_step``."""
    make: dict[str, int | str] = Field(default_factory=dict)
    """Options of a generated set that replace its own: ``lag``, ``num_train``, ``seed``, ..."""
    split_folders: bool | None = None
    """Whether the folders of a source that are named like parts (train, val, test, ...) are parts
    with class folders in them, or (false) classes; null finds out, and asks when in doubt."""
    labels_as_written: bool = False
    """Keep labels and groups apart that differ only in Unicode form, invisible characters or
    blanks; false reads each such set as one."""
    path_column: str = "path"
    """Manifest column with the files' paths, relative to the manifest."""
    text_column: str = "text"
    """Manifest column with the texts."""
    label_column: str = "label"
    """Column with the classes: of the manifest, of tables of segments, of tables of steps."""
    label_separator: Annotated[str, Field(min_length=1)] | None = None
    """With ``labels: several``, what parts the labels in a text, such as ``|`` or ``;``."""
    label_columns: tuple[str, ...] = ()
    """With ``labels: several``, manifest columns of 0 and 1, one for each label, which has the
    column's name."""
    split_column: str = "split"
    """Manifest column with train, validation or test."""
    group_column: str = "group"
    """Manifest column with the speaker, subject or source recording."""
    id_column: str = "id"
    """Manifest column with a name for each row."""
    segments_column: str = "segments"
    """Manifest column with the paths of tables of segments, relative to the manifest."""
    header: tuple[str, ...] | None = None
    """Column names of a csv or tsv file whose first line is already data."""
    quoting: bool = True
    """Whether a double quote in a csv or tsv file begins a quoted value; false takes it as text."""
    encoding: str = "utf-8"
    """How a csv, tsv or jsonl file is written, also one of segments, and files of text; cp949 for
    many Korean spreadsheets. What begins with a mark, or is valid UTF-8 beyond chance, is read as
    that."""
    delimiter: (
        Annotated[str, BeforeValidator(_typed_delimiter), Field(min_length=1, max_length=1)] | None
    ) = None
    r"""What parts the values of a csv or tsv file: a character, or ``tab`` or ``\t``; null is a
    comma in .csv, a tab in .tsv."""
    sheet: str | None = None
    """Sheet of a workbook that is the manifest; null takes the one with the columns."""

    @model_validator(mode="after")
    def _background_is_for_steps(self) -> Self:
        if self.background is not None and not self.labels_steps:
            raise ValueError("background is for labels: per_step; remove it")
        return self

    @model_validator(mode="after")
    def _several_labels_are_written_in_one_way(self) -> Self:
        names = ("label_separator", "label_columns", "unlabeled")
        fields = type(self).model_fields
        changed = [name for name in names if getattr(self, name) != fields[name].default]
        if self.labels != "several" and changed:
            raise ValueError(f"{changed[0]} is for labels: several; remove the setting")
        if self.label_separator is not None and self.label_columns:
            raise ValueError(
                "label_separator and label_columns are two ways to write labels; remove one"
            )
        if twice := sorted({n for n in self.label_columns if self.label_columns.count(n) > 1}):
            raise ValueError(f"label_columns names '{twice[0]}' twice; remove one")
        return self

    @model_validator(mode="after")
    def _label_map_is_for_sequences(self) -> Self:
        if self.label_map and self.labels_steps:
            raise ValueError(
                "label_map is not for labels: per_step; remove it, and rename the labels in the "
                "tables of segments"
            )
        return self

    @property
    def labels_steps(self) -> bool:
        """Whether each step has a class instead of each item."""
        return self.labels == "per_step"

    @property
    def reading(self) -> dict[str, Any]:
        """The settings on how a manifest is read that are not the defaults."""
        values, fields = self.to_dict(), type(self).model_fields
        return {
            name: values[name]
            for name in READING_SETTINGS
            if values[name] != fields[name].get_default(call_default_factory=True)
        }

    def list_items(self, features: Features | None = None) -> Manifest:
        """List the items as the source gives them, labels and splits optional.

        ``features`` decide what is read of a manifest that names both a file and a text in each
        row; without them it is the text.
        """
        manifest = self._list_items(features if isinstance(features, SeveralInputs) else None)
        manifest = fetch_listed(manifest)
        if self.label_map and any(manifest.column("label")):
            map_them = map_label_sets if self.labels == "several" else map_labels
            manifest = map_them(manifest, self._label_map, self.source)
        if features is not None:
            manifest = manifest.reading(features)
            if features.reads_text and "text" not in manifest.table.column_names:
                check_encoding_name(self.encoding)
                manifest = replace(manifest, encoding=self.encoding)
        if manifest.columns_found and "text" not in manifest.table.column_names:
            manifest = find_files(manifest)  # somebody wrote the paths
        return manifest

    def _list_items(self, inputs: SeveralInputs | None) -> Manifest:
        path = self._find()
        if path.is_dir() and not self.labels_steps and (tables := find_metadata(path)):
            with_files = self.replace(path_column=FILE_COLUMN)
            return read_metadata(
                path, tables, lambda table: with_files._read_manifest(table, inputs)
            )
        if path.is_dir() and (tables := self._find_part_tables(path)):
            return read_part_tables(path, tables, lambda table: self._read_manifest(table, inputs))
        if inputs is not None and path.exists() and not is_manifest_file(path):
            raise SettingsError(
                f"data.source: '{self.source}' is not a manifest ({', '.join(ENDINGS)}), which "
                "several inputs and columns (features.columns) need"
            )
        if path.is_dir():
            return self._read_folder(path)
        if is_manifest_file(path):
            return self._read_manifest(path, inputs)
        return self._read_packed(path)

    def _find(self) -> Path:
        """The file or folder of the source, fetched or generated if it is not there yet."""
        from seqbelt.data.generated.sets import GENERATED_SETS, find_generated_set
        from seqbelt.data.sources.catalogue import find_known_set

        if self._is_name_in(GENERATED_SETS):
            return find_generated_set(self.source, self.make)
        if self.make:
            raise SettingsError(
                f"data.make: '{self.source}' is not a generated set ({', '.join(GENERATED_SETS)}); "
                "remove the setting"
            )
        if self._is_name_in(KNOWN_SETS):
            return find_known_set(self.source)
        path = fetch(self.source) if is_remote(self.source) else Path(self.source)
        if not (path.is_file() or path.is_dir()):
            raise SettingsError(
                f"data.source: '{self.source}' is neither a file, a folder nor a known set "
                f"({', '.join(sorted({*KNOWN_SETS, *GENERATED_SETS}))})"
            )
        return path

    def _find_part_tables(self, folder: Path) -> dict[Path, str]:
        """Tables named like parts, if they list the items: those of a folder without class folders
        do, and beside class folders those with a column of paths or texts."""
        has_folders = any(path.is_dir() and path.name[0] != "." for path in folder.iterdir())
        if not (has_folders or self.labels_steps):
            return find_part_tables(folder)
        return find_part_tables(folder, lambda table: names_items(table, self.columns))

    def _read_folder(self, folder: Path) -> Manifest:
        if self.labels == "several":
            raise SettingsError(
                f"data.labels: several: '{self.source}' is a folder, whose files have one "
                "class each; write a manifest with the labels of each file"
            )
        if self.labels == "per_sequence":
            return read_class_folders(folder, self.split_folders, self.labels_as_written)
        return read_recordings(folder, self.split_folders)

    def _read_packed(self, path: Path) -> Manifest:
        """The items of one file that holds them all: a .ts file or an archive."""
        if self.labels == "several" and (is_series_file(path) or is_archive(path)):
            raise SettingsError(
                f"data.labels: several: {path.name} has one class for each item; use a manifest"
            )
        if is_series_file(path):
            return read_ts_files(path, self.labels_as_written)
        if is_archive(path) and self.labels_steps:
            raise SettingsError(
                f"data.labels: per_step: {path.name} is an archive, whose files have one class "
                "each by their folder; unpack it"
            )
        if is_archive(path):
            return read_archive(path, self.split_folders, self.labels_as_written)
        raise SettingsError(
            f"data.source: {path.name} is not a manifest; expected {', '.join(ENDINGS)}, "
            f"{SERIES_ENDING} or an archive ({', '.join(ARCHIVE_ENDINGS)})"
            f"{remedy_for_arrays(path)}"
        )

    def _read_manifest(self, path: Path, inputs: SeveralInputs | None) -> Manifest:
        if inputs is None:
            return read_manifest(path, self.columns, self.style)
        return self._read_joined(path, inputs)

    def _read_joined(self, path: Path, inputs: SeveralInputs) -> Manifest:
        """A manifest with the columns that several inputs are read from."""
        known = {self.path_column: "path", self.text_column: "text"}
        names: list[tuple[str, bool]] = []
        more: dict[str, str] = {}
        for name, section in inputs.inputs.items():
            column = inputs.manifest_column(name, self.path_column, self.text_column)
            role = known.get(column) or f"input {column}"
            names.append((role, section.reads_text))
            if column not in known:
                more[column] = role
        for name in inputs.columns:
            if name in (self.label_column, self.split_column, *self.label_columns):
                raise SettingsError(
                    f"features.columns: '{name}' is the column of the labels or of the split; "
                    "remove it from the list"
                )
            if name in known or name in more:
                raise SettingsError(
                    f"features.columns: '{name}' is read as an input already; remove it from the "
                    "list"
                )
        more |= {name: f"cell {name}" for name in inputs.columns}
        manifest = read_manifest(path, self.columns, self.style, more)
        for name, _ in names:
            if name not in manifest.table.column_names and not (
                name == "path" and manifest.contents
            ):
                raise SettingsError(
                    f"{path}: no column '{getattr(self, name + '_column')}', which an input is "
                    f"read from; name its column in data.{name}_column or in 'column' of the input"
                )
        cells = tuple(f"cell {name}" for name in inputs.columns)
        return replace(manifest, joined=JoinedColumns(tuple(names), cells))

    @property
    def style(self) -> Style:
        """How a manifest is written."""
        return Style(
            self.header,
            self.quoting,
            self.encoding,
            self.delimiter,
            self.sheet,
            self.labels_as_written,
            SeveralStyle(self.label_separator, self.label_columns)
            if self.labels == "several"
            else None,
        )

    @property
    def columns(self) -> Columns:
        """The names of a manifest's columns."""
        return Columns(**{name: getattr(self, f"{name}_column") for name in Columns._fields})

    @property
    def _label_map(self) -> dict[str, str | None]:
        return normalize_label_map(self.label_map, self.labels_as_written)

    def _is_name_in(self, sets: Mapping[str, object]) -> bool:
        """A file or folder of the same name goes before a set."""
        return self.source in sets and not Path(self.source).exists()
