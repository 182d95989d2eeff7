"""The ``data`` section: where the items come from and how they are split."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from seqbelt.data.labels.label_sets import NO_LABELS, SeveralStyle, Unlabeled, rarest_labels
from seqbelt.data.labels.labelling import (
    Labelling,
    SequenceLabelling,
    SeveralLabelling,
    StepLabelling,
)
from seqbelt.data.labels.targets import TargetName, find_target
from seqbelt.data.sources.archives import ENDINGS as ARCHIVE_ENDINGS
from seqbelt.data.sources.archives import is_archive, read_archive
from seqbelt.data.sources.corrections import correct_labels
from seqbelt.data.sources.file_paths import find_files
from seqbelt.data.sources.folders import read_class_folders, read_recordings
from seqbelt.data.sources.known_sets import KNOWN_SETS
from seqbelt.data.sources.label_map import map_label_sets, map_labels, normalize_label_map
from seqbelt.data.sources.manifest import JoinedColumns, Manifest
from seqbelt.data.sources.metadata_files import FILE_COLUMN, find_metadata, read_metadata
from seqbelt.data.sources.names import clean_names, shorten
from seqbelt.data.sources.raw_tables import Columns, Style, as_text
from seqbelt.data.sources.remote import fetch, fetch_listed, is_remote, mirror_path
from seqbelt.data.sources.tables import (
    ENDINGS,
    SERIES_ENDING,
    check_labels,
    is_manifest_file,
    is_series_file,
    read_manifest,
    read_ts_files,
    remedy_for_arrays,
)
from seqbelt.data.sources.text_encoding import check_encoding_name
from seqbelt.errors import SettingsError
from seqbelt.features.base import Features
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.settings import LocalPath, Seed, Settings

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


def _typed_delimiter(value: Any) -> Any:
    r"""A delimiter as people type it: the two characters ``\t``, or its name."""
    if value == "":  # what YAML makes of ``delimiter: |``
        raise ValueError("write it in double quotes: YAML takes a bare | for its own")
    return _DELIMITERS.get(value.lower(), value) if isinstance(value, str) else value


def _label_text(value: Any) -> Any:
    """A label as a table has it: YAML reads 1 as a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return as_text(value) if is_number else value


PartFraction = Annotated[float, Field(ge=0, le=0.5)]
Label = Annotated[str, BeforeValidator(_label_text), Field(min_length=1)]


class Data(Settings):
    """Where the items come from and which of them train, validate and test."""

    source: str
    """A folder with one sub-folder per class (or train/, validation/, test/ above them) or with a
    metadata.csv (.jsonl, .parquet) that lists its files (``file_name``), class folders in a .zip or
    .tar archive, WebDataset's shards (the first of them), a manifest (.csv, .tsv, .jsonl, .parquet,
    .xlsx; a Parquet file may hold the files' bytes), a .ts file, or the name of a known or
    generated set. Files and folders may be in an object store (``s3://``, ``gs://``, ``hf://``),
    and a manifest a table of a database (``sqlite:///FILE?table=NAME``)."""
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
    order: tuple[Label, ...] = ()
    """The classes from lowest to highest, where they are ordered, as stars or severities are: a
    near class is then a smaller error than a far one. Every class must be in the list, which has
    the names after ``label_map``. With ``labels: per_sequence``."""
    make: dict[str, int | str] = Field(default_factory=dict)
    """Options of a generated set that replace its own: ``lag``, ``num_train``, ``seed``, ..."""
    prepared: LocalPath | None = None
    """Folder of the prepared sequences; null is data/prepared/ and the config's name."""
    split_folders: bool | None = None
    """Whether the folders of a source that are named like parts (train, val, test, ...) are parts
    with class folders in them, or (false) classes; null finds out, and asks when in doubt."""
    labels_as_written: bool = False
    """Keep labels and groups apart that differ only in Unicode form, invisible characters or
    blanks; false reads each such set as one."""
    validation_fraction: Literal["auto"] | PartFraction = "auto"
    """Share of the training rows taken for validation, where the source names none; auto takes a
    tenth, or none where that would be too few rows to tell anything, or whole groups would make it
    more than 15 %."""
    test_fraction: PartFraction = 0.2
    """Share of all rows taken as test, where the source names none; 0 goes without a test."""
    whole_groups: bool | None = None
    """Keep all rows of a group on one side of a split that is taken here; null does so unless
    the source's own split has groups on both sides."""
    test_groups: tuple[str, ...] = ()
    """Test on exactly these groups and train on the rest, whatever the source's own split."""
    folds: Literal["group"] | Annotated[int, Field(ge=2)] | None = None
    """Cross-validation, whatever the source's own split: each group is the test part once
    (leave one speaker out), or each of this many stratified folds, whole groups together."""
    fold: Annotated[int, Field(ge=0)] | None = 0
    """Which fold is the test part, from 0; ``compare`` goes through all of them. null: none, all
    rows train and validate."""
    force_split: bool = False
    """Split a known set at random though it has an official protocol: the results then cannot
    be compared with published ones, and the runs are tagged so."""
    split_seed: Seed = 0
    """Seed of the splits that are taken here. Rows with the same content stay on one side; a store
    that was split without regard to that keeps its split until its folder is deleted."""
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
    corrections: LocalPath | None = None
    """Table of corrected labels that ``seqbelt review`` writes. They replace those of the source
    after the split is taken, so that no row changes its part. Not with ``labels: per_step``."""

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

    @model_validator(mode="after")
    def _order_is_of_classes(self) -> Self:
        if self.order and self.labels != "per_sequence":
            raise ValueError("order is for labels: per_sequence; remove the setting")
        if len(self.order) in (1, 2):
            raise ValueError(
                f"order has {len(self.order)} classes; the order matters from three classes on; "
                "remove the setting"
            )
        names = self._names(self.order)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"order names '{twice[0]}' twice; remove one")
        return self

    @model_validator(mode="after")
    def _corrections_are_for_sequences(self) -> Self:
        if self.corrections is not None and self.labels_steps:
            raise ValueError("corrections are not for labels: per_step; remove the setting")
        return self

    @property
    def labels_steps(self) -> bool:
        """Whether each step has a class instead of each item."""
        return self.labels == "per_step"

    def load(self, features: Features | None = None, content: np.ndarray | None = None) -> Manifest:
        """List the items, as these features read them, and give each its split.

        Rows with the same ``content``, int ``(rows,)``, stay on one side of a split taken here.
        Raises SettingsError where the source is missing or has no labels.
        """
        # scikit-learn takes seconds to import
        from seqbelt.data.sources.splits import assign_splits, rows_of_folds

        manifest, whole_groups = self._keep_protocol(self.list_items(features))
        of_source = manifest.column("label")
        if self.labels == "several":
            of_source = np.array(rarest_labels(of_source.tolist()), dtype=object)
        if self.corrections is not None:
            manifest = correct_labels(
                manifest.with_column("label", self.item_labels(manifest)),
                self.corrections,
                self.labels_as_written,
                self._label_map,
                find_target(self.labels),
            )
        if not self.labels_steps:
            manifest = self._check_labels(manifest)
        elif self.background is not None:
            manifest = self._note_background(manifest)
        if self.order:
            manifest = self._check_order(manifest)
        labels = manifest.column("label")
        # Parts are stratified by the labels of the source, so that corrections do not change them.
        manifest = manifest.with_column("label", of_source.tolist())
        if self.folds is not None:
            folds = rows_of_folds(manifest, self.folds, self.whole_groups, self.split_seed, content)
            if self.fold is not None and self.fold >= len(folds):
                raise SettingsError(f"data.fold: {self.fold}, but there are {len(folds)} folds")
            split = np.full(len(manifest), "train", object)
            if self.fold is not None:
                split[folds[self.fold]] = "test"
            manifest = manifest.with_column("split", split.tolist())
        manifest = assign_splits(
            manifest,
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction
            if self.folds is None or self.fold is not None
            else 0.0,
            test_groups=self._names(self.test_groups),
            whole_groups=whole_groups,
            seed=self.split_seed,
            content=content,
        )
        return manifest.with_column("label", labels.tolist())

    def item_labels(self, manifest: Manifest) -> list[str]:
        """The labels of the source as they are reviewed and corrected: empty where an item has
        none, and an empty list where that says that it has none of several labels."""
        labels = manifest.column("label").tolist()
        if self.unlabeled != "negative":
            return labels
        return [
            label if label or row in manifest.problems else NO_LABELS
            for row, label in enumerate(labels)
        ]

    @property
    def _label_map(self) -> dict[str, str | None]:
        return normalize_label_map(self.label_map, self.labels_as_written)

    def _names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return names if self.labels_as_written else tuple(clean_names(names))

    def _check_labels(self, manifest: Manifest) -> Manifest:
        """Refuse a source without labels; ask where the labels are hardly classes."""
        if not {*manifest.column("label")} - {"", NO_LABELS}:
            first = next(iter(manifest.problems.values()), None)
            columns = ", ".join(name or "''" for name in manifest.columns_found[:30])
            if self.label_columns:
                raise SettingsError(
                    f"{self.source}: data.label_columns: no row has 1 in one of "
                    f"{shorten(self.label_columns)}"
                )
            raise SettingsError(
                f"{self.source}: no column '{self.label_column}' with a label in it"
                + (f"; found {columns}" if columns else "")
                + "; name yours in data.label_column"
                + (f". First reason: {first}" if first else "")
            )
        if self.labels == "several":
            return self._note_unlabeled(manifest)
        question = check_labels(manifest, self.label_column)
        if question is None:
            return manifest
        return replace(manifest, notes=(*manifest.notes, f"{self.source}: {question}"))

    def _note_unlabeled(self, manifest: Manifest) -> Manifest:
        """State how many rows without a label are read as having none of them."""
        count = sum(
            label in ("", NO_LABELS) and row not in manifest.problems
            for row, label in enumerate(manifest.column("label"))
        )
        if not count or self.unlabeled != "negative":
            return manifest
        note = f"{count:,} of {len(manifest):,} rows have no label: read as none of the labels"
        return replace(manifest, notes=(*manifest.notes, f"{self.source}: {note}"))

    def _check_order(self, manifest: Manifest) -> Manifest:
        """Refuse classes that are not in the order; note those of the order without rows."""
        names, labels = self._names(self.order), set(manifest.column("label")) - {""}
        if missing := sorted(labels - set(names)):
            raise SettingsError(
                f"data.order: {self.source}: the class{'es' * (len(missing) > 1)} "
                f"{shorten([repr(name) for name in missing])} "
                f"{'are' if len(missing) > 1 else 'is'} not in the list {[*names]}; add "
                f"{'them' if len(missing) > 1 else 'it'}, or use data.label_map"
            )
        absent = [name for name in names if name not in labels]
        if not absent:
            return manifest
        note = (
            f"{self.source}: data.order: no row has the class {shorten(map(repr, absent))}; "
            "distances are counted between the classes that occur"
        )
        return replace(manifest, notes=(*manifest.notes, note))

    def _note_background(self, manifest: Manifest) -> Manifest:
        """State how many recordings are background throughout for want of a table."""
        count = sum(path is None for path in manifest.segments())
        if not count or self.label_column in manifest.columns_found:
            return manifest
        note = (
            f"recordings without a table of segments: {count:,} of {len(manifest):,}; all of their "
            f"steps are '{self.background}', unless their own table has a column "
            f"'{self.label_column}'"
        )
        return replace(manifest, notes=(*manifest.notes, f"{self.source}: {note}"))

    def labelling(self, features: Features) -> Labelling:
        """What gives sequences of these features their labels."""
        if self.labels_steps:
            return StepLabelling(
                self.label_column,
                features,
                self.labels_as_written,
                self.background,
                self.encoding,
            )
        if self.labels == "several":
            return SeveralLabelling(self.unlabeled)
        return SequenceLabelling(self._names(self.order))

    def each_fold(self) -> list["Data"]:
        """One ``Data`` for each fold; itself where there are no folds."""
        if self.folds is None:
            return [self]
        num_folds = self.folds
        if num_folds == "group":
            num_folds = len(set(self.list_items().column("group")))
        return [self.replace(fold=fold) for fold in range(num_folds)]

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
        if self.is_table and "text" not in manifest.table.column_names:
            manifest = find_files(manifest)
        return manifest

    @property
    def is_table(self) -> bool:
        """Whether the source is a manifest, whose paths somebody wrote."""
        local = mirror_path(self.source) if is_remote(self.source) else Path(self.source)
        return not local.is_dir()

    def _list_items(self, inputs: SeveralInputs | None = None) -> Manifest:
        from seqbelt.data.generated.sets import GENERATED_SETS, find_generated_set
        from seqbelt.data.sources.catalogue import find_known_set

        path = fetch(self.source) if is_remote(self.source) else Path(self.source)
        if self._is_name_in(GENERATED_SETS):
            path = find_generated_set(self.source, self.make)
        elif self.make:
            raise SettingsError(
                f"data.make: '{self.source}' is not a generated set ({', '.join(GENERATED_SETS)}); "
                "remove the setting"
            )
        elif self._is_name_in(KNOWN_SETS):
            path = find_known_set(self.source)
        if path.is_dir() and not self.labels_steps and (tables := find_metadata(path)):
            with_files = self.replace(path_column=FILE_COLUMN)
            return read_metadata(
                path, tables, lambda table: with_files._read_manifest(table, inputs)
            )
        if inputs is not None and path.exists() and not is_manifest_file(path):
            raise SettingsError(
                f"data.source: '{self.source}' is not a manifest ({', '.join(ENDINGS)}), which "
                "several inputs and columns (features.columns) need"
            )
        if path.is_dir():
            if self.labels == "several":
                raise SettingsError(
                    f"data.labels: several: '{self.source}' is a folder, whose files have one "
                    "class each; write a manifest with the labels of each file"
                )
            if self.labels == "per_sequence":
                return read_class_folders(path, self.split_folders, self.labels_as_written)
            return read_recordings(path, self.split_folders)
        if not path.is_file():
            raise SettingsError(
                f"data.source: '{self.source}' is neither a file, a folder nor a known set "
                f"({', '.join(sorted({*KNOWN_SETS, *GENERATED_SETS}))})"
            )
        if is_manifest_file(path):
            return self._read_manifest(path, inputs)
        if self.labels == "several" and (is_series_file(path) or is_archive(path)):
            raise SettingsError(
                f"data.labels: several: {path.name} has one class for each item; use a manifest"
            )
        if is_series_file(path):
            return read_ts_files(path, self.labels_as_written)
        if is_archive(path):
            if self.labels_steps:
                raise SettingsError(
                    f"data.labels: per_step: {path.name} is an archive, whose files have one class "
                    "each by their folder; unpack it"
                )
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
            place = known.get(column) or f"input {column}"
            names.append((place, section.reads_text))
            if column not in known:
                more[column] = place
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
    def splits_by_force(self) -> bool:
        """Whether a known set's official protocol is set aside for a split taken here."""
        return self.force_split and self._is_name_in(KNOWN_SETS)

    def _keep_protocol(self, manifest: Manifest) -> tuple[Manifest, bool | None]:
        """Refuse a random split of a known set, or, forced, forget its official one.

        Returns the manifest, and what ``whole_groups`` means for it.
        """
        from seqbelt.data.sources.splits import crosses_groups

        setting = self._random_split(manifest)
        if setting is None:
            return manifest, self.whole_groups
        if not self.force_split:
            raise SettingsError(
                f"data.{setting}: '{self.source}' has an official protocol "
                f"({KNOWN_SETS[self.source].protocol}), and results on a random split cannot be "
                "compared with published ones. Remove the setting, or leave out whole groups "
                "(data.folds: group, data.test_groups) where the set has groups, or set "
                "data.force_split: true"
            )
        whole = self.whole_groups
        if whole is None:  # as for any source: whole, unless its own split has them on both sides
            whole = not crosses_groups(manifest.column("split"), manifest.column("group"))
        return manifest.with_column("split", [""] * len(manifest)), whole

    def _random_split(self, manifest: Manifest) -> str | None:
        """The setting by which a known set would be split otherwise than by its protocol.

        Leaving out whole groups is another and harder question, and always allowed.
        """
        if not self._is_name_in(KNOWN_SETS) or self.test_groups or self.folds == "group":
            return None
        whole = any(manifest.column("group")) and self.whole_groups is not False
        if self.folds is not None:
            return None if whole else "folds"
        if np.any(manifest.column("split") == "test"):
            return "test_fraction" if "test_fraction" in self.model_fields_set else None
        return None if whole else "whole_groups"

    def _is_name_in(self, sets: Mapping[str, object]) -> bool:
        """A file or folder of the same name goes before a set."""
        return self.source in sets and not Path(self.source).exists()
