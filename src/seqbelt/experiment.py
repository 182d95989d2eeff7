"""The complete configuration, one YAML file; used by commands and workflow only."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import field_validator, model_validator

from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.metrics import ORDERED_NAMES, SEVERAL_NAMES
from seqbelt.comparison.variants import variant_of
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.dataset import Data
from seqbelt.features.joined_inputs import SeveralInputs
from seqbelt.features.kinds import AnyFeatures, spell_features
from seqbelt.models.model import Model
from seqbelt.plots.report_settings import ReportSettings
from seqbelt.settings import Settings
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.hyperparameters import Training
from seqbelt.training.tuning import Tuning

NOT_IN_NAMES = "/:%?#@\\\"'"
MAX_NAME_BYTES = 200
"""Names of folders and files add a suffix to it, within 255 bytes."""


class Experiment(Settings):
    """The content of a config file: data set, features, model, training and comparison."""

    name: str
    """Name of the MLflow experiment and of the registered model."""
    data: Data
    """The data set and its splits."""
    features: AnyFeatures
    """How sources are encoded as sequences."""
    model: Model = Model()
    """The network."""
    training: Training = Training()
    """How the network is trained."""
    comparison: Comparison = Comparison()
    """Which cells are compared, over which seeds."""
    tuning: Tuning = Tuning()
    """The hyperparameter search."""
    report: ReportSettings = ReportSettings()
    """The report for readers."""
    output: Path = Path("outputs")
    """Folder for checkpoints and bundles."""

    @classmethod
    def spell_out(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The section ``features`` may be written short."""
        if "features" not in values:
            return values
        return {**values, "features": spell_features(values["features"])}

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        """The name is used for folders, the MLflow experiment and ``models:/name@champion``."""
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise ValueError(
                f"{len(name.encode('utf-8', 'surrogatepass'))} bytes exceed the {MAX_NAME_BYTES} "
                "allowed in names of folders; choose a shorter name"
            )
        if not name.strip() or name != name.strip() or name.startswith("."):
            raise ValueError(
                "must not be empty, start with a dot, or start or end with white space"
            )
        invalid = sorted({char for char in name if char in NOT_IN_NAMES or not char.isprintable()})
        if invalid:
            raise ValueError(
                f"contains {invalid}; {' '.join(NOT_IN_NAMES)} and unprintable characters are not "
                "allowed in models:/NAME@champion"
            )
        return name

    @model_validator(mode="after")
    def _check_pooling(self) -> "Experiment":
        """Default to ``pooling: none`` with labels for steps, and refuse any other combination."""
        labels_steps = self.data.labels_steps
        if labels_steps and "pooling" not in self.model.model_fields_set:
            model = self.model.replace(pooling="none")
            object.__setattr__(self, "model", model)  # settings are frozen
        if labels_steps != self.model.labels_steps:
            raise ValueError(
                f"model.pooling: {self.model.pooling} cannot be used with data.labels: "
                f"{self.data.labels}; use pooling none with labels per_step, and only then"
            )
        return self

    @model_validator(mode="after")
    def _check_inputs(self) -> Self:
        """Refuse the settings that are of a single sequence where items have several inputs."""
        if not isinstance(self.features, SeveralInputs):
            return self
        remedy = "is not for several inputs or columns; remove the setting"
        if self.data.labels_steps:
            raise ValueError(f"data.labels: per_step {remedy}")
        if self.model.max_steps is not None:
            raise ValueError(f"model.crop_steps: {self.model.max_steps} {remedy}")
        if self.model.vectors is not None:
            raise ValueError(f"model.vectors {remedy}")
        augmentation = self.training.augmentation
        if isinstance(augmentation, Augmentation) and augmentation.is_on:
            raise ValueError(f"training.augmentation {remedy}")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        """With several labels default to the metric mean_average_precision; refuse metrics and
        settings that the labels do not have."""
        comparison, is_several = self.comparison, self.data.labels == "several"
        if is_several and "metric" not in comparison.model_fields_set:
            comparison = comparison.replace(metric=SEVERAL_NAMES[0])
            object.__setattr__(self, "comparison", comparison)  # settings are frozen
        metric = comparison.metric
        if metric in ORDERED_NAMES and not self.data.order:
            raise ValueError(
                f"comparison.metric: {metric} is for ordered classes; set data.order, or choose "
                "another metric"
            )
        if metric in SEVERAL_NAMES and not is_several:
            raise ValueError(
                f"comparison.metric: {metric} is for data.labels: several; choose another metric"
            )
        if is_several and metric in ("balanced_accuracy", "segmental_f1"):
            raise ValueError(
                f"comparison.metric: {metric} is not for data.labels: several; choose "
                f"{', '.join(SEVERAL_NAMES)}, macro_f1, accuracy (of whole sets) or recall:LABEL"
            )
        averages = {
            "comparison.ensemble": comparison.ensemble,
            "training.num_networks": self.training.num_networks not in ("auto", 1),
        }
        for setting, is_set in averages.items():
            if is_several and is_set:
                raise ValueError(
                    f"{setting}: the average of networks is not for data.labels: several; remove "
                    "the setting"
                )
        return self

    def resolve(self, is_tokens: bool, train: Sequences) -> Self:
        """The experiment with every ``auto`` of model and training replaced by its value for these
        training rows."""
        is_joined = train.store.layout is not None
        return self.replace(
            # Each input of several resolves the settings for itself.
            model=self.model if is_joined else self.model.resolve(is_tokens, train.lengths),
            training=self.training.resolve_for(
                train, is_tokens, self.data.labels_steps, self.features.is_spectrum
            ),
        )

    def training_identity(self, num_rows: int = sys.maxsize) -> dict[str, Any]:
        """The section ``training`` by which models (of ``num_rows`` training rows), comparisons and
        searches are named. What an earlier version did not know is left out where it changes
        nothing."""
        resolved = self.training.resolve(
            num_rows,
            self.features.is_tokens,
            self.data.labels_steps,
            is_several=self.data.labels == "several",
            is_ordered=bool(self.data.order),
        )
        values = self.training.to_dict()
        if not resolved.distillation:
            del values["distillation"]
        is_joined = isinstance(self.features, SeveralInputs)
        if resolved.num_networks == 1 or (is_joined and self.training.num_networks == "auto"):
            del values["num_networks"]
        return values

    @property
    def store_folder(self) -> Path:
        """Folder of the prepared sequences."""
        return self.data.prepared or Path("data/prepared") / self.name

    def with_model(self, model: Model) -> "Experiment":
        """The same experiment with another network."""
        return self.replace(model=model)

    def with_seed(self, seed: int) -> "Experiment":
        """The same experiment with another seed."""
        return self.replace(training=self.training.replace(seed=seed))

    def with_data(self, data: Data) -> "Experiment":
        """The same experiment on other data, such as another fold."""
        return self.replace(data=data)

    @property
    def run_name(self) -> str:
        """Short name of one training run: ``lstm-h128-s0``."""
        return f"{variant_of(self.model)}-h{self.model.hidden_size}-s{self.training.seed}"
