"""What ``bundle.json`` says of a trained model, beside its settings and features."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from seqbelt.data.labels.targets import TargetName
from seqbelt.settings import Count, Positive, Settings

FORMATS = {
    1: "one network, one class an example",
    2: "an ensemble",
    3: "several labels an example",
    4: "several inputs an item",
}
"""What each format of ``bundle.json`` was made for. Versions without it refuse the format."""

Name = Annotated[str, Field(min_length=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


def format_of(num_networks: int, is_several: bool, has_layout: bool) -> int:
    """The oldest of ``FORMATS`` that has all that a bundle needs."""
    if has_layout:
        return 4
    if is_several:
        return 3
    return 2 if num_networks > 1 else 1


class BundleValues(Settings):
    """The values; those with a default are missing in older bundles."""

    format: int
    name: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    num_features: Count
    num_networks: Count = 1
    labels: TargetName | None = None
    """None: as the pooling of the model has it."""
    ordered: bool = False
    temperature: Positive = 1.0
    confidences: tuple[Probability, ...] = ()
    thresholds: tuple[Probability, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: expected different names")
        if any(before > after for before, after in pairwise(self.confidences)):
            raise ValueError("confidences: expected rising numbers")
        if self.thresholds and self.labels != "several":
            raise ValueError("thresholds: need labels: several")
        if len(self.thresholds) not in (0, len(self.classes)):
            raise ValueError(
                f"thresholds: expected {len(self.classes)}, found {len(self.thresholds)}"
            )
        if self.labels == "several" and self.num_networks > 1:
            raise ValueError(
                f"num_networks: {self.num_networks}, but networks of several labels are not "
                "averaged"
            )
        return self

    def target_name(self, labels_steps: bool, has_layout: bool) -> TargetName:
        """The target of a model that ``labels_steps`` or not, of several inputs or one. Raises
        ValueError where the values do not belong together."""
        name = self.labels or ("per_step" if labels_steps else "per_sequence")
        if labels_steps != (name == "per_step"):
            raise ValueError(f"labels: {name} does not belong to the model's pooling")
        if self.ordered and name != "per_sequence":
            raise ValueError(f"ordered: does not apply to labels: {name}")
        expected = format_of(self.num_networks, name == "several", has_layout)
        if self.format != expected:
            raise ValueError(
                f"format {self.format} is for {FORMATS[self.format]}, but num_networks: "
                f"{self.num_networks}, labels: {name} need format {expected}"
            )
        return name
