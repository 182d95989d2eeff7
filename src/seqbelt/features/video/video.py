"""Video features: a clip becomes a float32 sequence ``(steps, features)``, a step per frame.

Frames are described while they are decoded, so that a worker holds a few small frames and never
a clip. A clip's audio track is not used.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from seqbelt.errors import SettingsError
from seqbelt.features.base import Encoder, Features, Learned, Source, file_or_content
from seqbelt.features.video.descriptors import Backbone, DifferenceGradients, blocks, load_backbone
from seqbelt.features.video.video_decoding import FrameFormat, decode_video
from seqbelt.settings import Count, Positive

MIN_FILE_BYTES, MAX_BYTES_PER_S = 512e6, 2e6
"""A clip may have so many bytes, or, if that is more, so many for each second it may last: 16
Mbit/s. A file is in memory while it is decoded."""


class DescribedClip(NamedTuple):
    """A clip that was decoded and described."""

    steps: np.ndarray
    """Float32 ``(steps, num_features)``."""
    notes: Sequence[str]
    """How it was read, where that was not evident."""


class VideoFeatures(Features):
    """What all kinds of video features share: decoding, one frame rate, streaming."""

    needs_torch: ClassVar[bool] = True
    size_setting: ClassVar[str] = "features.max_duration_s"

    frame_rate: Positive | None = 10.0
    """Frames described per second of the clip, in Hz; null describes every frame, at whatever
    rate the clip has. Ready arrays of frames are taken to have this rate."""
    max_duration_s: Positive = 600.0
    """Longer clips are quarantined."""

    @property
    def max_file_bytes(self) -> float:
        return max(MIN_FILE_BYTES, self.max_duration_s * MAX_BYTES_PER_S)

    @property
    def num_features(self) -> int:
        raise NotImplementedError

    @property
    def frame_format(self) -> FrameFormat:
        """The frames that ``describe`` takes; clips of any size are squeezed into it."""
        raise NotImplementedError

    def describe(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Frames one by one to blocks of ``(steps, num_features)``."""
        raise NotImplementedError

    def step_s(self) -> float | None:
        return 1 / self.frame_rate if self.frame_rate else None

    def read(self, source: Source) -> DescribedClip:
        """Decode and describe a clip. Raises BadInput."""
        content, notes = file_or_content(source), list[str]()
        frames = decode_video(
            content, self.frame_format, self.frame_rate, self.max_duration_s, notes
        )
        return DescribedClip(np.concatenate(list(self.describe(frames))), notes)

    def remarks(self, raw: Any, encoder: Encoder) -> tuple[str, ...]:
        return tuple(raw.notes)

    def encoder(self, learned: Learned) -> "VideoFeatures":
        return self

    def encode(self, raws: Sequence[DescribedClip]) -> list[np.ndarray]:
        """``read`` has described the frames already."""
        return [raw.steps for raw in raws]


class FrameDifferences(VideoFeatures):
    """Motion without learned weights: oriented gradients of the change from frame to frame.

    Features of a step: for each cell of the grid, row by row, a histogram of orientations. The
    first step has no change and is 0. Chosen by an LSTM's accuracy on UT-Interaction among
    what ``benchmarks/video_features.py`` compares.
    """

    kind: Literal["frame_differences"]
    rows: Count = 6
    """Cells of the grid from top to bottom."""
    columns: Count = 8
    """Cells of the grid from left to right."""
    cell_pixels: Annotated[int, Field(ge=2)] = 4
    """Height and width of a cell in pixels: a clip is squeezed to ``rows`` x ``columns`` cells."""
    num_orientations: Count = 8
    """Bins of the half circle of orientations."""

    @property
    def num_features(self) -> int:
        return self._descriptor.num_features

    @property
    def frame_format(self) -> FrameFormat:
        height, width = self._descriptor.shape
        return FrameFormat(width, height, is_grey=True)

    @cached_property
    def _descriptor(self) -> DifferenceGradients:
        return DifferenceGradients(self.rows, self.columns, self.cell_pixels, self.num_orientations)

    has_one_unit: ClassVar[bool] = True

    def comparable(self, sequence: np.ndarray) -> np.ndarray:
        """Cells averaged with their neighbours, since cropping moves edges to another cell."""
        cells = sequence.reshape(len(sequence), self.rows, self.columns, self.num_orientations)
        for axis in (1, 2):
            size = cells.shape[axis]
            before, after = (np.arange(size) + shift for shift in (-1, 1))
            before, after = before.clip(0), after.clip(max=size - 1)
            cells = (np.take(cells, before, axis) + 2 * cells + np.take(cells, after, axis)) / 4
        return cells.reshape(sequence.shape)

    @property
    def mirrored(self) -> np.ndarray:
        """Columns and orientations in reverse order."""
        shape = (self.rows, self.columns, self.num_orientations)
        return np.arange(self.num_features).reshape(shape)[:, ::-1, ::-1].ravel()

    def describe(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        previous = None
        for block in blocks(frames):
            yield self._descriptor.describe(block, block[0] if previous is None else previous)
            previous = block[-1]


class Frames(VideoFeatures):
    """What a torchvision network sees in each frame: the values before its last layer.

    Runs on the GPU where there is one. The weights' hash is kept with what was prepared or
    trained, so that other weights are refused and not used by mistake.
    """

    kind: Literal["frames"]
    learns: ClassVar[bool] = True
    LEARNED_FILE: ClassVar[str] = "backbone.json"

    backbone: str
    """torchvision's name of an image classifier: resnet18, convnext_tiny, ..."""
    weights: str = "DEFAULT"
    """torchvision's name of its weights, or the path of a file with a state dict (.pth, .pt,
    .safetensors). Named weights are fetched into torch's hub folder, once."""
    size: Annotated[int, Field(ge=32)] = 224
    """Height and width in pixels that each frame is squeezed to."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network's arithmetic; bfloat16 is faster and good to 2-3 digits."""

    @property
    def num_features(self) -> int:
        return self._backbone.num_features

    @property
    def frame_format(self) -> FrameFormat:
        return FrameFormat(self.size, self.size, is_grey=False)

    @property
    def _backbone(self) -> Backbone:
        return load_backbone(self.backbone, self.weights, self.size, self.precision)

    def learn(self, raws: Iterable[DescribedClip]) -> Learned:
        """The hash of the weights; no row is read. Raises SettingsError or SeqbeltError."""
        about = {"weights_hash": self._backbone.weights_hash}
        return {self.LEARNED_FILE: json.dumps(about).encode()}

    def encoder(self, learned: Learned) -> "Frames":
        expected = json.loads(learned[self.LEARNED_FILE])["weights_hash"]
        if expected != self._backbone.weights_hash:
            raise SettingsError(
                f"features.weights: {self.weights} for {self.backbone} are not the weights that "
                f"this was prepared with (hash {expected})"
            )
        return self

    def describe(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks(frames):
            yield self._backbone.describe(block)
