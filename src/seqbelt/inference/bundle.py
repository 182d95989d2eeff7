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
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from seqbelt.data.labels.targets import DEFAULT_THRESHOLD, TARGETS, Target, find_target
from seqbelt.data.store.parts import write_json
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Encoder, Features, Learned
from seqbelt.features.input_layout import InputLayout
from seqbelt.features.kinds import parse_stored
from seqbelt.inference.bundle_files import HASHES, check_hashes, read_files, write_hashes
from seqbelt.inference.bundle_values import FORMATS, BundleValues, format_of
from seqbelt.inference.bundle_weights import (
    check_num_layers,
    check_weights,
    read_weights,
    weight_file_names,
)
from seqbelt.inference.decision import SEPARATORS, Decision
from seqbelt.inference.reference import FILE as REFERENCE
from seqbelt.inference.reference import Reference
from seqbelt.models.model import Model
from seqbelt.models.numpy_network import (
    NumpyNetwork,
    Weights,
    expected_shapes,
    numpy_networks,
)

if TYPE_CHECKING:  # it imports torch, which takes longer than the prediction of a few files
    from seqbelt.models.ensemble import Network

OLD_DEFAULTS = {"stem": "none", "scaling": "rows", "differences": False}
"""Settings missing in older bundles, with the values that those models have."""


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

        from seqbelt.models.classifier import build_network
        from seqbelt.models.ensemble import Ensemble

        networks = []
        try:
            for weights in self.weights:
                with torch.random.fork_rng(devices=()):  # the initial weights are random
                    networks.append(build_network(self.model, *self._network_shape))
                tensors = {name: torch.tensor(array) for name, array in weights.items()}
                networks[-1].load_state_dict(tensors)
        except RuntimeError as error:
            raise SeqbeltError(
                f"the model {self.name}: its network cannot be built ({error})"
            ) from None
        return (Ensemble(networks) if len(networks) > 1 else networks[0]).eval()

    @cached_property
    def numpy_networks(self) -> list[NumpyNetwork]:
        """The network, or each network of the ensemble, in NumPy; of one input."""
        return numpy_networks(self.model, self.features.is_tokens, self.weights)

    @property
    def _network_shape(self) -> tuple[int, int, bool, None, InputLayout | None]:
        """The arguments of ``build_network`` after the settings."""
        is_tokens = self.features.is_tokens
        return self.num_features, len(self.classes), is_tokens, None, self.layout

    def save(self, folder: Path) -> None:
        """Write the bundle, replacing an older one in the same folder."""
        (folder / "learned").mkdir(parents=True, exist_ok=True)
        # Written last, so that an interrupted save is detected.
        (folder / HASHES).unlink(missing_ok=True)
        for old in (folder / "learned").glob("*"):
            old.unlink()
        for name, content in self.learned.items():
            (folder / "learned" / name).write_bytes(content)
        for old in folder.glob("weights-*.safetensors"):
            old.unlink()
        (folder / REFERENCE).unlink(missing_ok=True)
        if self.reference is not None:
            (folder / REFERENCE).write_bytes(self.reference.to_bytes())
        for name, weights in zip(weight_file_names(len(self.weights)), self.weights, strict=True):
            (folder / name).write_bytes(save(dict(weights)))
        write_json(folder / "bundle.json", self._stored_values())
        write_hashes(folder)

    def _stored_values(self) -> dict[str, object]:
        """The content of ``bundle.json``."""
        num_networks, has_layout = len(self.weights), self.layout is not None
        return {
            "format": format_of(num_networks, self.target.is_several, has_layout),
            **({"num_networks": num_networks} if num_networks > 1 else {}),
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
        }

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
        with _named(folder):
            files = read_files(folder)
            values = json.loads(files["bundle.json"])
            check_hashes(folder, files, is_needed="hashes" in values)
            return cls._parse(folder, files, values)

    @classmethod
    def _parse(
        cls, folder: Path, files: Mapping[str, bytes], values: Mapping[str, Any]
    ) -> "Bundle":
        """The bundle of these files. Raises an error for values and weights that do not belong
        together."""
        origin = str(folder / "bundle.json")
        if values["format"] not in FORMATS:
            raise SeqbeltError(
                f"{folder}: bundle format {values['format']}, this version reads {min(FORMATS)} to "
                f"{max(FORMATS)}"
            )
        names = [name for name in BundleValues.model_fields if name in values]
        stored = BundleValues.parse({name: values[name] for name in names}, origin)
        model = Model.parse({**OLD_DEFAULTS, **values["model"]}, origin)
        layout = InputLayout.from_stored(values["layout"]) if "layout" in values else None
        target_name = stored.target_name(model.labels_steps, layout is not None)
        weight_files = [name for name in files if name.startswith("weights")]
        number = stored.num_networks
        if len(weight_files) != number or weight_files != weight_file_names(number):
            raise ValueError(f"num_networks: {number}, found {', '.join(weight_files)}")
        bundle = cls(
            name=stored.name,
            features=parse_stored(values["features"]),
            learned={
                name.removeprefix("learned/"): content
                for name, content in files.items()
                if name.startswith("learned/")
            },
            model=model,
            classes=stored.classes,
            num_features=stored.num_features,
            weights=tuple(read_weights(name, files[name]) for name in weight_files),
            about=values["about"],
            temperature=stored.temperature,
            confidences=stored.confidences,
            reference=Reference.from_bytes(files[REFERENCE]) if REFERENCE in files else None,
            target=find_target(target_name, stored.ordered),
            thresholds=stored.thresholds,
            layout=layout,
        )
        expected = bundle._expected_shapes()
        for weights in bundle.weights:
            if layout is None:
                check_num_layers(weights, model)
            check_weights(weights, expected, bundle.num_features)
        return bundle

    @classmethod
    def accept(cls, folder: Path) -> None:
        """Write the hashes of files that were changed on purpose, if they are a usable bundle.

        Raises SeqbeltError if they are not.
        """
        with _named(folder):
            files = read_files(folder)
            bundle = cls._parse(folder, files, json.loads(files["bundle.json"]))
            _ = bundle.encoder, bundle.network
            write_hashes(folder)

    def _expected_shapes(self) -> Mapping[str, tuple[int, ...]]:
        if self.layout is None:
            is_tokens = self.features.is_tokens
            resolved = self.model.resolve(is_tokens, None)
            return expected_shapes(resolved, self.num_features, len(self.classes), is_tokens)
        import torch

        from seqbelt.models.classifier import build_network

        with torch.device("meta"):  # shapes only
            network = build_network(self.model, *self._network_shape)
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


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Context in which every error is a SeqbeltError that names the folder."""
    try:
        yield
    except SeqbeltError as error:
        if str(folder) in str(error):
            raise
        raise SeqbeltError(f"{folder}: {error}") from None
    except Exception as error:  # from safetensors, JSON, torch or the file system
        raise SeqbeltError(f"{folder}: not a usable model bundle ({error})") from None


def _main(folders: Sequence[str]) -> int:
    for folder in folders:
        try:
            Bundle.accept(Path(folder))
        except SeqbeltError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
