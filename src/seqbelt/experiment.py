"""The whole configuration: one YAML file. Only commands and workflow see it."""

from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator

from seqbelt.comparison.comparison import Comparison
from seqbelt.comparison.variants import variant_of
from seqbelt.data.sequences import Sequences
from seqbelt.data.sources.dataset import Data
from seqbelt.features.kinds import AnyFeatures
from seqbelt.models.classifier import Model
from seqbelt.settings import Settings
from seqbelt.training.hyperparameters import Training
from seqbelt.training.tuning import Tuning

NOT_IN_NAMES = "/:%?#@\\\"'"
MAX_NAME_BYTES = 200
"""Folders and files that are named after an experiment add some letters to it; 255 fit."""


class Experiment(Settings):
    """What a config file describes: one data set, one way to look at it, one kind of model."""

    name: str
    """Name of the MLflow experiment and of the registered model."""
    data: Data
    """Where the items come from and how they are split."""
    features: AnyFeatures
    """How a source becomes a sequence."""
    model: Model = Model()
    """The network."""
    training: Training = Training()
    """How it is trained."""
    comparison: Comparison = Comparison()
    """Which cells are compared, over which seeds."""
    tuning: Tuning = Tuning()
    """Which settings are searched, and how."""
    output: Path = Path("outputs")
    """Folder for checkpoints and bundles."""

    @field_validator("name")
    @classmethod
    def _fits_everywhere(cls, name: str) -> str:
        """A name is a folder's, an MLflow experiment's and a part of ``models:/name@champion``."""
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise ValueError(
                f"a name of {len(name.encode('utf-8', 'surrogatepass'))} bytes, which is more than "
                f"the {MAX_NAME_BYTES} that fit into the names of folders; take a shorter one"
            )
        if not name.strip() or name != name.strip() or name.startswith("."):
            raise ValueError("a name is not empty, begins with no dot, and has no blanks around it")
        odd = sorted({sign for sign in name if sign in NOT_IN_NAMES or not sign.isprintable()})
        if odd:
            raise ValueError(
                f"a name holds none of {' '.join(NOT_IN_NAMES)} and nothing that cannot be "
                f"printed, for they mean something in models:/NAME@champion; here {odd}"
            )
        return name

    @model_validator(mode="after")
    def _classify_what_is_labelled(self) -> "Experiment":
        """Labels for every step leave nothing to pool, so it need not be said twice."""
        per_step = self.data.labels == "per_step"
        if per_step and "pooling" not in self.model.model_fields_set:
            model = self.model.replace(pooling="none")
            object.__setattr__(self, "model", model)  # settings are frozen once they are made
        if per_step != (self.model.pooling == "none"):
            raise ValueError(
                f"model.pooling: {self.model.pooling} does not go with data.labels: "
                f"{self.data.labels}; pooling none, and nothing else, classifies every step"
            )
        return self

    def resolve(self, is_tokens: bool, train: Sequences) -> Self:
        """The experiment with every ``auto`` of model and training replaced by what it stands for
        on these training rows."""
        per_step = self.data.labels == "per_step"
        return self.replace(
            model=self.model.resolve(is_tokens, train.lengths),
            training=self.training.resolve(
                len(train), is_tokens, per_step, self.features.is_spectrum
            ),
        )

    @property
    def store_folder(self) -> Path:
        """Where the prepared sequences are."""
        return self.data.prepared or Path("data/prepared") / self.name

    def with_model(self, model: Model) -> "Experiment":
        """The same experiment with another network."""
        return self.replace(model=model)

    def with_seed(self, seed: int) -> "Experiment":
        """The same experiment with another seed, and nothing else changed."""
        return self.replace(training=self.training.replace(seed=seed))

    def with_data(self, data: Data) -> "Experiment":
        """The same experiment on other data: another fold, say."""
        return self.replace(data=data)

    @property
    def run_name(self) -> str:
        """Short name of one training run: ``lstm-h128-s0``."""
        return f"{variant_of(self.model)}-h{self.model.hidden_size}-s{self.training.seed}"
