"""The ``data`` section: which items, and which of them train, validate and test."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from seqbelt.data.labels.label_sets import NO_LABELS, rarest_labels
from seqbelt.data.labels.labelling import (
    Labelling,
    SequenceLabelling,
    SeveralLabelling,
    StepLabelling,
)
from seqbelt.data.labels.targets import find_target
from seqbelt.data.sources.corrections import correct_labels
from seqbelt.data.sources.item_source import ItemSource, Label
from seqbelt.data.sources.known_sets import KNOWN_SETS
from seqbelt.data.sources.label_checks import (
    check_order,
    describe_background,
    describe_unlabeled,
    doubt_labels,
    refuse_no_labels,
)
from seqbelt.data.sources.manifest import Manifest
from seqbelt.data.sources.names import clean_names
from seqbelt.errors import SettingsError
from seqbelt.features.base import Features
from seqbelt.settings import LocalPath, Seed

PartFraction = Annotated[float, Field(ge=0, le=0.5)]


class Data(ItemSource):
    """Where the items come from and which of them train, validate and test."""

    order: tuple[Label, ...] = ()
    """The classes from lowest to highest, where they are ordered, as stars or severities are: a
    near class is then a smaller error than a far one. Every class must be in the list, which has
    the names after ``label_map``. With ``labels: per_sequence``."""
    prepared: LocalPath | None = None
    """Folder of the prepared sequences; null is data/prepared/ and the config's name."""
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
    corrections: LocalPath | None = None
    """Table of corrected labels that ``seqbelt review`` writes. They replace those of the source
    after the split is taken, so that no row changes its part. Not with ``labels: per_step``."""

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
        manifest = self._check_labels(manifest)
        labels = manifest.column("label")
        # Parts are stratified by the labels of the source, so that corrections do not change them.
        manifest = manifest.with_column("label", of_source.tolist())
        if self.folds is not None:
            folds = rows_of_folds(manifest, self.folds, self.whole_groups, self.split_seed, content)
            manifest = self._test_on_fold(manifest, folds)
        has_test = self.folds is None or self.fold is not None
        manifest = assign_splits(
            manifest,
            validation_fraction=self.validation_fraction,
            test_fraction=self.test_fraction if has_test else 0.0,
            test_groups=self._names(self.test_groups),
            whole_groups=whole_groups,
            seed=self.split_seed,
            content=content,
        )
        return manifest.with_column("label", labels.tolist())

    def _test_on_fold(self, manifest: Manifest, folds: Sequence[np.ndarray]) -> Manifest:
        if self.fold is not None and self.fold >= len(folds):
            raise SettingsError(f"data.fold: {self.fold}, but there are {len(folds)} folds")
        split = np.full(len(manifest), "train", object)
        if self.fold is not None:
            split[folds[self.fold]] = "test"
        return manifest.with_column("split", split.tolist())

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

    def _names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return names if self.labels_as_written else tuple(clean_names(names))

    def _check_labels(self, manifest: Manifest) -> Manifest:
        """Refuse labels that cannot be learned; note what is doubtful about the others."""
        source, labels, notes = self.source, manifest.column("label"), list[str]()
        if not self.labels_steps:
            refuse_no_labels(manifest, source, self.label_column, self.label_columns)
        if self.labels == "per_sequence":
            notes.append(doubt_labels(manifest, self.label_column))
        elif self.unlabeled == "negative":
            notes.append(describe_unlabeled(manifest))
        elif self.background is not None:
            notes.append(describe_background(manifest, self.label_column, self.background))
        if self.order:
            notes.append(check_order(self._names(self.order), set(labels) - {""}, source))
        stated = (f"{source}: {note}" for note in notes if note)
        return replace(manifest, notes=(*manifest.notes, *stated))

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
