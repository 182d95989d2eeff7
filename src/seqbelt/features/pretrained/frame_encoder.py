"""Video features by an encoder in an ONNX file: one run for each frame."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from seqbelt.errors import BadInput, SettingsError
from seqbelt.features.base import Learned, Source, file_or_content
from seqbelt.features.pretrained import encoder_certificate
from seqbelt.features.pretrained.encoder_certificate import Batching
from seqbelt.features.pretrained.onnx_model import (
    EncoderFile,
    OnnxModel,
    Port,
    choose,
    load_learned,
)
from seqbelt.features.pretrained.pretrained import Certified, PretrainedFeatures
from seqbelt.features.video.descriptors import blocks
from seqbelt.features.video.video import VideoFeatures
from seqbelt.features.video.video_decoding import FrameFormat, decode_video

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True)
class Clip:
    """A clip whose frames are decoded while they are encoded, so that memory holds a few."""

    source: Path | bytes | np.ndarray
    frame_rate: float | None
    max_duration_s: float
    notes: list[str] = field(default_factory=list)
    """How it was read, where that was not evident; known once it is encoded."""

    def frames(self, frame_format: FrameFormat) -> Iterator[np.ndarray]:
        """The frames. Raises BadInput, maybe after some of them."""
        self.notes.clear()
        return decode_video(
            self.source, frame_format, self.frame_rate, self.max_duration_s, self.notes
        )


class EncodedFrames(PretrainedFeatures, VideoFeatures):
    """What a frozen encoder in an ONNX file sees in each frame."""

    kind: Literal["encoder"]
    reads: Literal["frames"]
    """The encoder takes pictures."""
    pixels: Literal["imagenet", "0..1", "-1..1", "0..255"]
    """The values that the encoder was trained with: red, green and blue from 0 to 1, from -1 to 1,
    as bytes, or by the mean and deviation of ImageNet."""
    size: Annotated[int, Field(ge=1)] | None = None
    """Height and width in pixels that each frame is squeezed to; null where the file states it."""
    has_one_unit: ClassVar[bool] = False

    def read(self, source: Source) -> Clip:  # type: ignore[override]
        content = file_or_content(source)
        return Clip(content, self.frame_rate, self.max_duration_s)

    def learn(self, raws: Iterable[Clip]) -> Learned:
        """The encoder with its certificate; no row is read. Raises SettingsError."""
        return self.learn_certified(lambda model, file: _certify(_probe(self, model), file))

    def encoder(self, learned: Learned) -> "FrameEncoder":  # type: ignore[override]
        model, about = load_learned(learned)
        return FrameEncoder.from_about(self, model, about)


@dataclass(frozen=True)
class FrameEncoder:
    """Encodes clips as ``EncodedFrames.read`` returns them."""

    features: EncodedFrames
    model: OnnxModel
    input: str
    output: str
    has_channels_first: bool
    height: int
    width: int
    batch_size: int | None
    num_features: int = 0
    batching: Batching = "alone"

    @classmethod
    def from_about(
        cls, features: EncodedFrames, model: OnnxModel, about: Mapping[str, Any]
    ) -> "FrameEncoder":
        return cls(features, model, **about["encoder"])

    def about(self) -> dict[str, Any]:
        """What ``from_about`` needs, as JSON values."""
        names = [field.name for field in dataclasses.fields(self)][2:]
        return {"encoder": {name: getattr(self, name) for name in names}}

    def encode(self, raws: Sequence[Clip]) -> list[np.ndarray]:
        """Decode and encode clips: float32 ``(steps, num_features)`` each. Raises BadInput."""
        return [self._encode(clip) for clip in raws]

    def _encode(self, clip: Clip) -> np.ndarray:
        frames = clip.frames(FrameFormat(self.width, self.height, is_grey=False))
        size = 1 if self.batching == "alone" else None
        return np.concatenate(
            [
                self.run(block[start : start + (size or len(block))])
                for block in blocks(frames)
                for start in range(0, len(block), size or len(block))
            ]
        )

    def run(self, frames: np.ndarray) -> np.ndarray:
        """Features float32 ``(frames, num_features)`` of uint8 ``(frames, height, width, 3)``."""
        values = self._scale(frames)
        missing = (self.batch_size or 0) - len(values)
        if missing > 0:
            values = np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])
        if self.has_channels_first:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        (output,) = self.model.run([self.output], {self.input: values})
        return output[: len(frames)].reshape(len(frames), -1).astype(np.float32, copy=False)

    def _scale(self, frames: np.ndarray) -> np.ndarray:
        dtype = next(port.dtype for port in self.model.inputs if port.name == self.input)
        if self.features.pixels == "0..255":
            return frames.astype(dtype)
        values = frames.astype(np.float32) / 255
        if self.features.pixels == "-1..1":
            values = 2 * values - 1
        elif self.features.pixels == "imagenet":
            values = (values - IMAGENET_MEAN) / IMAGENET_STD
        return values.astype(dtype, copy=False)


def _probe(features: EncodedFrames, model: OnnxModel) -> FrameEncoder:
    """The encoder, not certified yet. Raises SettingsError where graph and settings disagree."""
    candidates = [port for port in model.inputs if len(port.shape) == 4]
    port = choose(model, "input", features.input, candidates)
    _check_picture(features, model, port)
    if len(model.inputs) > 1:
        raise SettingsError(
            f"features.input: it is not known what to give to the inputs of {model.name} beside "
            f"'{port.name}'; export it without them. {model.describe_ports()}"
        )
    has_channels_first = port.shape[1] == 3
    height, width = port.shape[2:] if has_channels_first else port.shape[1:3]
    for stated in (height, width):
        if stated is not None and features.size not in (None, stated):
            raise SettingsError(
                f"features.size: {features.size}, but {model.name} reads {port}; remove size"
            )
    height, width = height or features.size, width or features.size
    if height is None or width is None:
        raise SettingsError(
            f"features.size: {model.name} reads pictures of any size ({port}); set the size that "
            "it was trained with, such as 224"
        )
    output = choose(model, "output", features.output, [p for p in model.outputs if p.is_float])
    encoder = FrameEncoder(
        features, model, port.name, output.name, has_channels_first, height, width, port.shape[0]
    )
    try:
        (values,) = model.run(
            [output.name], {port.name: _blank(encoder, port.dtype, port.shape[0] or 1)}
        )
    except BadInput as error:
        raise SettingsError(f"features.file: {error}") from None
    wide = [size for size in values.shape[1:] if size > 1]
    if len(wide) > 1:
        raise SettingsError(
            f"features.output: '{output.name}' of {model.name} is an array of shape "
            f"{values.shape[1:]} for each frame, and a step is one vector; name another output, or "
            f"export the encoder with its pooling. {model.describe_ports()}"
        )
    return dataclasses.replace(encoder, num_features=int(np.prod(values.shape[1:])))


def _check_picture(features: EncodedFrames, model: OnnxModel, port: Port) -> None:
    if len(port.shape) != 4 or (port.shape[1] == 3) == (port.shape[3] == 3):
        raise SettingsError(
            f"features.input: {port} is not a picture: 'reads: frames' needs (batch, 3, height, "
            f"width) or (batch, height, width, 3). Of {model.name}: {model.describe_ports()}"
        )
    if not port.is_float and features.pixels != "0..255":
        raise SettingsError(
            f"features.pixels: {features.pixels}, but {port} takes bytes; set pixels: 0..255"
        )


def _blank(encoder: FrameEncoder, dtype: Any, number: int) -> np.ndarray:
    shape = (encoder.height, encoder.width)
    shape = (3, *shape) if encoder.has_channels_first else (*shape, 3)
    return np.zeros((number, *shape), dtype)


def _certify(encoder: FrameEncoder, file: EncoderFile) -> Certified:
    """How the encoder is used, in batches that leave its answers as they are, and its certificate.

    Raises SettingsError if answers are random, or depend on batch mates that cannot be left out.
    """
    random = np.random.default_rng(0)
    shape = (3, encoder.height, encoder.width, 3)
    frames = random.integers(0, 256, shape, dtype=np.uint8)
    alone = [encoder.run(frames[number : number + 1]) for number in range(len(frames))]
    again = encoder.run(frames[:1])
    encoder_certificate.refuse_randomness(
        encoder_certificate.relative_difference(again, alone[0]), file.path.name
    )
    difference, number = None, encoder.batch_size
    if number is None:
        difference = encoder_certificate.relative_difference(
            encoder.run(frames), np.concatenate(alone)
        )
    elif number > 1:
        mates = np.concatenate([frames[:1], *[frames[1:2]] * (number - 1)])
        encoder_certificate.refuse_batch_mates(
            encoder_certificate.relative_difference(encoder.run(mates)[:1], alone[0]),
            number,
            file.path.name,
        )
    batching = encoder_certificate.decide_batching(difference, None)
    encoder = dataclasses.replace(encoder, batching=batching)
    how = encoder_certificate.describe_batching(difference, None)
    note = (
        f"{file.describe()}: '{encoder.input}' to '{encoder.output}', {encoder.num_features} "
        f"features of frames of {encoder.width} x {encoder.height} pixels; {how}"
    )
    notes = [note, *file.copy_notes(encoder.features.max_copy_mb)]
    return encoder.about(), encoder_certificate.to_file(notes, {"equal": difference})
