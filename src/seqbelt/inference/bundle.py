"""The bundle: a trained model as a folder.

bundle.json          settings, class list, sizes, fingerprint, versions
weights.safetensors  the network's weights; no pickle anywhere
weights-2.safetensors, ...  the other networks of an ensemble (models/ensemble.py)
reference.safetensors  what the training rows looked like; missing in older bundles
learned/             what the encoder learned from training rows, such as a tokenizer
SHA256SUMS           the hash of each of these files, in the format of sha256sum

A bundle with a changed file is not loaded. After an intended change,
``python -m seqbelt.inference.bundle FOLDER`` updates the hashes.
"""

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load, save

from seqbelt.data.labels.targets import DEFAULT_THRESHOLD, TARGETS, Target, find_target
from seqbelt.data.store.parts import write_json
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Encoder, Features, Learned
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.kinds import parse_stored
from seqbelt.inference.decision import SEPARATORS, Decision
from seqbelt.inference.reference import FILE as REFERENCE
from seqbelt.inference.reference import Reference
from seqbelt.models.model import Model
from seqbelt.models.numpy_network import NumpyNetwork, Weights, expected_shapes, numpy_networks

if TYPE_CHECKING:  # it imports torch, which takes longer than the prediction of a few files
    from seqbelt.models.ensemble import Network

FORMATS = {
    1: "one network, one class an example",
    2: "an ensemble",
    3: "several labels an example",
    4: "several inputs an item",
}
"""What each format of ``bundle.json`` was made for. Versions without it refuse the format."""
OLD_DEFAULTS = {"stem": "none", "scaling": "rows", "differences": False}
"""Settings missing in older bundles, with the values that those models have."""
HASHES = "SHA256SUMS"


@dataclass(frozen=True)
class Bundle:
    """A trained model with all that is needed to predict new files."""

    name: str
    features: Features
    learned: Learned
    model: Model
    classes: tuple[str, ...]
    num_features: int
    weights: tuple[Weights, ...]
    """Of the network, or of each network of an ensemble: ``weights_of``."""
    about: dict[str, Any]
    """Information for users: data fingerprint, scores, versions."""
    temperature: float = 1.0
    """Divisor of the logits before the softmax (calibration)."""
    confidences: tuple[float, ...] = ()
    """Quantiles of the validation rows' confidences at 0, 1, ..., 100 per cent; empty without
    validation rows."""
    reference: Reference | None = None
    """What the training rows looked like; None in older bundles."""
    target: Target = TARGETS["per_sequence"]
    """What is predicted, and how predictions follow from probabilities."""
    thresholds: tuple[float, ...] = ()
    """With several labels: the probability from which each label is given."""
    layout: InputLayout | None = None
    """Where the inputs of an item are, if it has several."""

    @cached_property
    def network(self) -> "Network":
        """The network, or the ensemble, in evaluation mode on the CPU."""
        import torch

        from seqbelt.models.ensemble import Ensemble

        networks = []
        for weights in self.weights:
            with torch.random.fork_rng(devices=()):  # the initial weights are random
                networks.append(self.model.build(*self._network_shape))
            networks[-1].load_state_dict({n: torch.tensor(array) for n, array in weights.items()})
        return (Ensemble(networks) if len(networks) > 1 else networks[0]).eval()

    @cached_property
    def numpy_networks(self) -> list[NumpyNetwork]:
        """The network, or each network of the ensemble, in NumPy; of one input."""
        return numpy_networks(self.model, self.features.is_tokens, self.weights)

    @property
    def _network_shape(self) -> tuple[int, int, bool, None, InputLayout | None]:
        """The arguments of ``Model.build``."""
        is_tokens = self.features.is_tokens
        return self.num_features, len(self.classes), is_tokens, None, self.layout

    def save(self, folder: Path) -> None:
        """Write the bundle, replacing an older one in the same folder."""
        (folder / "learned").mkdir(parents=True, exist_ok=True)
        (folder / HASHES).unlink(
            missing_ok=True
        )  # written last, so an interrupted save is detected
        for old in (folder / "learned").glob("*"):
            old.unlink()
        for name, content in self.learned.items():
            (folder / "learned" / name).write_bytes(content)
        for old in folder.glob("weights-*.safetensors"):
            old.unlink()
        (folder / REFERENCE).unlink(missing_ok=True)
        if self.reference is not None:
            (folder / REFERENCE).write_bytes(self.reference.to_bytes())
        for name, weights in zip(_weight_files(len(self.weights)), self.weights, strict=True):
            (folder / name).write_bytes(save(dict(weights)))
        has_layout = self.layout is not None
        write_json(
            folder / "bundle.json",
            {
                "format": _format_of(len(self.weights), self.target.is_several, has_layout),
                **({"num_networks": len(self.weights)} if len(self.weights) > 1 else {}),
                "name": self.name,
                "classes": self.classes,
                "num_features": self.num_features,
                "temperature": self.temperature,
                "confidences": self.confidences,
                "features": self.features.to_dict(),
                "model": self.model.to_dict(),
                "about": self.about,
                **({"layout": self.layout.to_stored()} if self.layout else {}),
                **self._stored_target(),
                "hashes": HASHES,  # missing in older bundles
            },
        )
        write_hashes(folder)

    def num_steps(self, sequence: np.ndarray) -> int:
        """Steps of an encoded item: of several inputs their sum."""
        return len(sequence) if self.layout is None else int(self.layout.num_steps(sequence).sum())

    def refuse_several_inputs(
        self, what: str, instead: str = "seqbelt predict or evaluate"
    ) -> None:
        """Raise SettingsError for a model of several inputs, which ``what`` does not support."""
        if self.layout is not None:
            names = ", ".join(part.name for part in (*self.layout.inputs, *self.layout.columns))
            raise SettingsError(
                f"{what}: does not support models of several inputs or with columns ({names}); "
                f"use {instead}"
            )

    def _stored_target(self) -> dict[str, Any]:
        """The target in ``bundle.json``; empty for the targets of older bundles."""
        if self.target.is_several:
            return {"labels": self.target.name, "thresholds": self.thresholds}
        return {"ordered": True} if self.target.is_ordered else {}

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a bundle.

        Raises SeqbeltError if the folder contains no bundle, or if a file is damaged or was
        changed.
        """
        try:
            return cls._load(folder)
        except SeqbeltError:
            raise
        except Exception as error:  # from safetensors, JSON, torch or the file system
            raise SeqbeltError(f"{folder}: not a usable model bundle ({error})") from None

    @classmethod
    def _load(cls, folder: Path) -> "Bundle":
        files = _read_files(folder)
        values = json.loads(files["bundle.json"])
        if values["format"] not in FORMATS:
            raise SeqbeltError(
                f"{folder}: bundle format {values['format']}, this version reads {min(FORMATS)} to "
                f"{max(FORMATS)}"
            )
        _check_hashes(folder, files, is_needed="hashes" in values)
        features = parse_stored(values["features"])
        model = Model.parse({**OLD_DEFAULTS, **values["model"]}, origin=str(folder / "bundle.json"))
        classes, num_features = _check_values(values)
        names = [name for name in files if name.startswith("weights")]
        number, target_name = _check_format(values)
        if number != len(names) or names != _weight_files(number):
            raise ValueError(f"num_networks: {number}, found {', '.join(names)}")
        layout = InputLayout.from_stored(values["layout"]) if "layout" in values else None
        weights = tuple(_as_float32(load(files[name])) for name in names)
        learned = {
            name.removeprefix("learned/"): content
            for name, content in files.items()
            if name.startswith("learned/")
        }
        bundle = cls(
            name=values["name"],
            features=features,
            learned=learned,
            model=model,
            classes=classes,
            num_features=num_features,
            weights=weights,
            about=values["about"],
            temperature=values.get("temperature", 1.0),  # missing in older bundles
            confidences=tuple(values.get("confidences", ())),
            reference=Reference.from_bytes(files[REFERENCE]) if REFERENCE in files else None,
            target=find_target(target_name, values.get("ordered", False)),
            thresholds=tuple(values.get("thresholds", ())),
            layout=layout,
        )
        for network_weights in weights:
            bundle._check_weights(network_weights)
        return bundle

    def _check_weights(self, weights: Weights) -> None:
        """Raise ValueError for weights of another network. No memory is allocated before, since a
        wrong size may be huge."""
        model = self.model
        layers = sum(name.startswith("recurrent.weights.weight_hh_l") for name in weights)
        if (
            self.layout is None
            and model.cell != "none"
            and layers != model.num_layers * (1 + model.bidirectional)
        ):
            raise ValueError(
                f"the weights have {layers} recurrent layers and directions, bundle.json has "
                f"num_layers {model.num_layers}, bidirectional {str(model.bidirectional).lower()}"
            )
        expected = self._expected_shapes()
        if (parts := weights.get("embed.parts")) is not None:
            _check_embedding_parts(parts, self.num_features)
        for name, shape in expected.items():
            found = weights[name].shape if name in weights else "nothing"
            if found != shape:
                raise ValueError(f"{name}: bundle.json needs shape {shape}, found {found}")
        for name, array in weights.items():
            if name not in expected and not name.endswith("embed.parts"):
                raise ValueError(f"{name}: the network has no such weights")
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: contains NaN or infinite values")

    def _expected_shapes(self) -> Mapping[str, tuple[int, ...]]:
        if self.layout is None:
            is_tokens = self.features.is_tokens
            resolved = self.model.resolve(is_tokens, None)
            return expected_shapes(resolved, self.num_features, len(self.classes), is_tokens)
        import torch

        with torch.device("meta"):  # shapes only
            network = self.model.build(*self._network_shape)
        return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}

    @cached_property
    def encoder(self) -> Encoder:
        """Encodes what ``features.read`` returns.

        Raises SeqbeltError if the learned files do not fit the features or the network.
        """
        try:
            encoder = self.features.encoder(self.learned)
        except SeqbeltError:
            raise
        except Exception as error:  # from tokenizers or JSON
            raise SeqbeltError(
                f"the model {self.name}: learned/ does not fit features of kind "
                f"{self.features.to_dict()['kind']} ({type(error).__name__}: {error})"
            ) from None
        if self.learned and encoder.num_features != self.num_features:
            raise SeqbeltError(
                f"the model {self.name}: learned/ belongs to another model: the encoder "
                f"gives {encoder.num_features} features, the network needs {self.num_features}"
            )
        return encoder

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 ``(..., classes)`` of logits ``(..., classes)``.

        The class with the largest logit has the largest probability, even after rounding.
        """
        scaled = logits.astype(np.float64) / self.temperature
        probabilities = self.target.probabilities(scaled).astype(np.float32)
        if self.target.is_several:
            return probabilities
        best = logits.argmax(-1, keepdims=True)
        is_tied = probabilities.argmax(-1, keepdims=True) != best
        minimum = np.nextafter(probabilities.max(-1, keepdims=True), np.float32(2))
        current = np.take_along_axis(probabilities, best, -1)
        np.put_along_axis(probabilities, best, np.where(is_tied, minimum, current), -1)
        return probabilities

    @property
    def label_thresholds(self) -> tuple[float, ...]:
        """With several labels the probability from which each is given, ``(classes,)``."""
        return self.thresholds or (DEFAULT_THRESHOLD,) * len(self.classes)

    @cached_property
    def decision(self) -> Decision:
        """From probabilities to the predicted class or labels."""
        thresholds = np.array(self.label_thresholds, np.float32) if self.target.is_several else None
        return Decision(self.target, thresholds, self.about.get("label_separator", SEPARATORS[0]))

    def confidence(self, probabilities: np.ndarray) -> np.ndarray:
        """The probability ``(...)`` that the prediction of ``(..., classes)`` is right."""
        return self.decision.confidence(probabilities)

    def predicted_names(self, probabilities: np.ndarray) -> list[str]:
        """The predicted class, or all predicted labels, of one row ``(classes,)``."""
        return self.decision.names(probabilities, self.classes)

    def threshold(self, coverage: float) -> float:
        """The confidence that a fraction ``coverage`` of the validation rows reaches.

        Raises SettingsError if the model was trained without validation rows, or labels steps.
        """
        if not self.confidences:
            why = "labels steps" if self.model.labels_steps else "had no validation rows"
            raise SettingsError(
                f"--coverage {coverage:g}: this model {why}, so its validation confidences are "
                "unknown; remove --coverage, or train with data.validation_fraction"
            )
        return float(np.quantile(self.confidences, 1 - coverage))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights, classes, feature settings and learned files."""
        digest = hashlib.blake2b(digest_size=16)
        # Without the old defaults, so that journals of older bundles stay valid.
        model = {
            k: v
            for k, v in self.model.to_dict().items()
            if k not in OLD_DEFAULTS or v != OLD_DEFAULTS[k]
        }
        settings = [self.features.identity(), self.features.version, model, self.classes]
        if self.temperature != 1.0:
            settings.append(self.temperature)
        if stored := self._stored_target():
            settings.append(stored)
        digest.update(json.dumps(settings).encode())
        named = self.weights[0]
        if len(self.weights) > 1:  # the names that torch gives the parameters of an ensemble
            named = {
                f"members.{i}.{n}": a for i, of in enumerate(self.weights) for n, a in of.items()
            }
        for name, array in sorted(named.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        learned = self.features.identifying(self.learned) if self.learned else {}
        for name, content in sorted(learned.items()):
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()


def write_hashes(folder: Path) -> None:
    """Write the hash of each file of a bundle in the format of ``sha256sum``."""
    lines = [f"{_hash(content)}  {name}\n" for name, content in _read_files(folder).items()]
    partial = folder / f"{HASHES}.tmp"
    partial.write_text("".join(lines), "utf-8")
    partial.replace(folder / HASHES)


def hash_of_bundle(folder: Path) -> str:
    """One hash of all files of a saved bundle."""
    files = _read_files(folder)
    return _hash("".join(f"{_hash(files[name])}  {name}\n" for name in sorted(files)).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_files(folder: Path) -> dict[str, bytes]:
    """The content of each file of a bundle by its name in the folder."""
    names = ["bundle.json", "weights.safetensors"]
    more = [path.name for path in folder.glob("weights-*.safetensors")]
    names += sorted(more, key=lambda name: (len(name), name))
    names += [REFERENCE] if (folder / REFERENCE).exists() else []
    names += [f"learned/{path.name}" for path in sorted((folder / "learned").glob("*"))]
    for name in names:
        if (folder / name).exists() and not (
            folder / name
        ).is_file():  # reading a pipe would never end
            raise SeqbeltError(f"{folder / name}: not a regular file")
    return {name: (folder / name).read_bytes() for name in names}


def _check_hashes(folder: Path, files: Mapping[str, bytes], is_needed: bool) -> None:
    """Raise SeqbeltError with the file's name if one was changed, added or removed."""
    accept = (
        f"restore it, or, if the change is intended, accept the bundle with "
        f"'python -m seqbelt.inference.bundle {folder}'"
    )
    path = folder / HASHES
    if not path.is_file():
        if is_needed:
            raise SeqbeltError(f"{path}: is missing, so changed files cannot be detected; "
                               f"{accept}")  # fmt: skip
        return
    expected = {}
    for line in path.read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        expected[name] = digest
    for name in sorted(expected.keys() | files.keys()):
        if name not in files:
            raise SeqbeltError(f"{folder / name}: this file of the bundle is missing; {accept}")
        if name not in expected:
            raise SeqbeltError(f"{folder / name}: was not part of the bundle; {accept}")
        if expected[name] != _hash(files[name]):
            raise SeqbeltError(
                f"{folder / name}: was changed after the bundle was saved (its hash differs from "
                f"{HASHES}); {accept}"
            )


def _weight_files(num_networks: int) -> list[str]:
    """The names of the weight files, one for each network."""
    numbers = range(2, num_networks + 1)
    return ["weights.safetensors", *(f"weights-{number}.safetensors" for number in numbers)]


def _format_of(num_networks: int, is_several: bool, has_layout: bool) -> int:
    """The oldest of ``FORMATS`` that has all that a bundle needs."""
    if has_layout:
        return 4
    if is_several:
        return 3
    return 2 if num_networks > 1 else 1


def _check_format(values: Mapping[str, Any]) -> tuple[int, str]:
    """Number of networks and name of the target. Raises ValueError for values that are invalid or
    do not belong to the format."""
    number = values.get("num_networks", 1)
    if type(number) is not int or number < 1:
        raise ValueError(f"num_networks: expected a whole number above 0, found {number!r}")
    name = values.get(
        "labels", "per_step" if values["model"]["pooling"] == "none" else "per_sequence"
    )
    if name not in TARGETS:
        raise ValueError(f"labels: expected one of {', '.join(TARGETS)}, found {name!r}")
    expected = _format_of(number, name == "several", "layout" in values)
    if values["format"] != expected:
        raise ValueError(
            f"format {values['format']} is for {FORMATS[values['format']]}, but num_networks: "
            f"{number}, labels: {name} need format {expected}"
        )
    if name == "several" and number > 1:
        raise ValueError(f"num_networks: {number}, but networks of several labels are not averaged")
    return number, name


def _check_values(values: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Classes and number of features. Raises ValueError for invalid values."""
    classes, num_features = tuple(values["classes"]), values["num_features"]
    if not all(isinstance(name, str) for name in classes) or len(set(classes)) != len(classes):
        raise ValueError("classes: expected different strings")
    if type(num_features) is not int or num_features < 1:
        raise ValueError(f"num_features: expected a whole number, found {num_features!r}")
    temperature = values.get("temperature", 1.0)
    if not isinstance(temperature, int | float) or not 0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a number above 0, found {temperature!r}")
    confidences = values.get("confidences", ())
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in confidences):
        raise ValueError("confidences: expected numbers from 0 to 1")
    thresholds = values.get("thresholds", ())
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in thresholds):
        raise ValueError("thresholds: expected numbers from 0 to 1")
    if len(thresholds) not in (0, len(classes)):
        raise ValueError(f"thresholds: expected {len(classes)}, found {len(thresholds)}")
    return classes, num_features


def weights_of(network: "Network") -> tuple[Weights, ...]:
    """The weights of a network, or of each network of an ensemble, copied."""
    return tuple(
        {
            name: np.array(tensor.detach().cpu().numpy(), order="C")
            for name, tensor in member.state_dict().items()
        }
        for member in network.networks
    )


def _check_embedding_parts(parts: np.ndarray, num_tokens: int) -> None:
    if parts.shape != (num_tokens, 2) or not ((parts >= 0) & (parts < num_tokens)).all():
        raise ValueError(f"embed.parts: expected ({num_tokens}, 2) numbers of rows")


def _as_float32(weights: Weights) -> Weights:
    """Weights in the precision that the network computes in."""
    return {
        name: array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array
        for name, array in weights.items()
    }


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_hashes(Path(argument))
