"""The bundle: a trained model as a folder that explains itself.

bundle.json          settings, class list, sizes, fingerprint, versions
weights.safetensors  the network's weights; no pickle anywhere
learned/             what the encoder learned from training rows (a tokenizer, say)
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from scipy.special import softmax

from seqbelt.data.parts import write_json
from seqbelt.errors import SeqbeltError, SettingsError
from seqbelt.features.base import Encoder, Features, Learned
from seqbelt.features.kinds import AnyFeatures
from seqbelt.models.classifier import Model, SequenceNetwork

FORMAT = 1
BEFORE = {"stem": "none", "scaling": "rows"}
"""Settings of a model that older bundles do not name, with what those models do."""


@dataclass(frozen=True)
class Bundle:
    """A trained model and all that is needed to use it on new files."""

    name: str
    features: Features
    learned: Learned
    model: Model
    classes: tuple[str, ...]
    num_features: int
    network: SequenceNetwork
    about: dict[str, Any]
    """For people: data fingerprint, scores, versions."""
    temperature: float = 1.0
    """What an answer's logits are divided by before they become probabilities (calibration)."""
    confidences: tuple[float, ...] = ()
    """Of the validation rows: the smallest confidence, the one above a per cent of them, and so
    on to the largest. Empty where there were none."""

    def save(self, folder: Path) -> None:
        """Write the bundle; an older one in the same folder is replaced."""
        (folder / "learned").mkdir(parents=True, exist_ok=True)
        for old in (folder / "learned").glob("*"):
            old.unlink()
        for name, content in self.learned.items():
            (folder / "learned" / name).write_bytes(content)
        weights = {n: t.detach().cpu().contiguous() for n, t in self.network.state_dict().items()}
        save_file(weights, folder / "weights.safetensors")
        write_json(
            folder / "bundle.json",
            {
                "format": FORMAT,
                "name": self.name,
                "classes": self.classes,
                "num_features": self.num_features,
                "temperature": self.temperature,
                "confidences": self.confidences,
                "features": self.features.plain(),
                "model": self.model.plain(),
                "about": self.about,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a bundle. Raises SeqbeltError if the folder holds none, or a damaged one."""
        try:
            return cls._load(folder)
        except SeqbeltError:
            raise
        except Exception as error:  # safetensors, JSON, torch, the file system raise their own
            raise SeqbeltError(f"{folder}: no usable model bundle here ({error})") from None

    @classmethod
    def _load(cls, folder: Path) -> "Bundle":
        values = json.loads((folder / "bundle.json").read_text("utf-8"))
        weights = load_file(folder / "weights.safetensors")
        if values["format"] != FORMAT:
            raise SeqbeltError(
                f"{folder}: bundle format {values['format']}, this version reads {FORMAT}"
            )
        features = TypeAdapter(AnyFeatures).validate_json(json.dumps(values["features"]))
        model = Model.parse({**BEFORE, **values["model"]}, origin=str(folder / "bundle.json"))
        classes = tuple(values["classes"])
        network = model.build(values["num_features"], len(classes), features.is_tokens)
        network.load_state_dict(weights)
        learned = {path.name: path.read_bytes() for path in (folder / "learned").glob("*")}
        return cls(
            name=values["name"],
            features=features,
            learned=learned,
            model=model,
            classes=classes,
            num_features=values["num_features"],
            network=network.eval(),
            about=values["about"],
            temperature=values.get("temperature", 1.0),  # bundles before calibration have none
            confidences=tuple(values.get("confidences", ())),
        )

    @cached_property
    def encoder(self) -> Encoder:
        """Turns what ``features.read`` returns into sequences."""
        return self.features.encoder(self.learned)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float32, of answers' logits ``(…, classes)``.

        The largest is where the largest logit is, though rounding should make two of them equal.
        """
        shares = softmax(logits.astype(np.float64) / self.temperature, axis=-1).astype(np.float32)
        best = logits.argmax(-1, keepdims=True)
        is_lost = shares.argmax(-1, keepdims=True) != best
        least = np.nextafter(shares.max(-1, keepdims=True), np.float32(2))
        own = np.take_along_axis(shares, best, -1)
        np.put_along_axis(shares, best, np.where(is_lost, least, own), -1)
        return shares

    def threshold(self, coverage: float) -> float:
        """The confidence that a share ``coverage`` of the validation rows reaches.

        Raises SettingsError where the model was trained without validation rows, or labels steps.
        """
        if not self.confidences:
            why = "labels steps" if self.network.labels_steps else "had no validation rows"
            raise SettingsError(
                f"--coverage {coverage:g}: this model {why}, so nothing is known about how sure it "
                "usually is; leave --coverage out, or train with data.validation_fraction"
            )
        return float(np.quantile(self.confidences, 1 - coverage))

    @cached_property
    def fingerprint(self) -> str:
        """Changes with every weight, class, feature setting or learned file."""
        digest = hashlib.blake2b(digest_size=16)
        # Without what older bundles do not name, so that their answers stay known.
        model = {k: v for k, v in self.model.plain().items() if k not in BEFORE or v != BEFORE[k]}
        settings = [self.features.plain(), self.features.version, model, self.classes]
        if self.temperature != 1.0:
            settings.append(self.temperature)
        digest.update(json.dumps(settings).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        for name, content in sorted(self.learned.items()):
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()
