"""What features of every modality share that are made by an encoder in an ONNX file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field

from seqbelt.features.base import Features, Learned
from seqbelt.features.pretrained.encoder_certificate import CERTIFICATE_FILE, notes_of
from seqbelt.features.pretrained.onnx_model import (
    ABOUT_FILE,
    MODEL_FILE,
    EncoderFile,
    OnnxModel,
    read_encoder_file,
)

Certified: TypeAlias = tuple[Mapping[str, Any], bytes]
"""How an encoder is used, as JSON values, and the content of its certificate."""


class PretrainedFeatures(Features):
    """Settings of an encoder in an ONNX file; its weights are not trained."""

    learns: ClassVar[bool] = True

    file: Path
    """The encoder, an ONNX file. It is copied into the prepared data and the bundle."""
    input: str | None = None
    """Name of the graph's input for the content; null where only one fits."""
    output: str | None = None
    """Name of the graph's output with the features; null where only one fits."""
    max_copy_mb: Annotated[float, Field(ge=0)] = 200.0
    """Largest encoder that is copied, in MB; a larger one stays where it is, and its path and hash
    are kept."""

    def identity(self) -> dict[str, Any]:
        """Without the path of the file: its hash identifies it."""
        left_out = ("file", "max_copy_mb")
        return {name: value for name, value in super().identity().items() if name not in left_out}

    def files_stamp(self) -> str:
        return read_encoder_file(self.file).hash

    def identifying(self, learned: Learned) -> Learned:
        """How the encoder is used with its hash, without its path, its content and what was
        measured."""
        about = json.loads(learned[ABOUT_FILE])
        kept = {name: about[name] for name in about if name not in ("name", "path", "external")}
        others = {
            name: content
            for name, content in learned.items()
            if name not in (MODEL_FILE, ABOUT_FILE, CERTIFICATE_FILE)
        }
        return {**others, ABOUT_FILE: json.dumps(kept, sort_keys=True).encode()}

    def learn_certified(self, certify: Callable[[OnnxModel, EncoderFile], Certified]) -> Learned:
        """The encoder with how it is used and its certificate, as ``certify`` returns them.

        Raises SettingsError if the file cannot be used with these settings.
        """
        file = read_encoder_file(self.file)
        model = file.model(self.max_copy_mb)
        about, content = certify(model, file)
        return {**file.learned(model, about), CERTIFICATE_FILE: content}

    def notes(self, learned: Learned) -> tuple[str, ...]:
        return notes_of(learned)
