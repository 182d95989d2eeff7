"""Prediction of class probabilities for sources, in order, with bounded memory."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from seqbelt.ahead import map_ahead
from seqbelt.data.cropped_sequences import average_window_probabilities
from seqbelt.errors import EMPTY, WRONG_SHAPE, BadInput
from seqbelt.features.base import Source
from seqbelt.features.crash_board import Board
from seqbelt.features.encoding import Encoded, available_cores, encode_sources
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.decision import find_overflow
from seqbelt.inference.engine import Engine, EngineName, ProductPrecision
from seqbelt.inference.journal import Row
from seqbelt.inference.numpy_engine import NumpyEngine, can_compute
from seqbelt.inference.output import write_predictions
from seqbelt.inference.segment_output import LabelFiles, pack_segments, write_segments

if TYPE_CHECKING:  # torch takes longer to import than a few files to predict
    import torch

    from seqbelt.inference.torch_engine import TorchEngine
    from seqbelt.models.ensemble import Network

WINDOW_ITEMS = 512
"""Items that are sorted by length together."""
WINDOW_VALUES = 4 << 20
"""Largest number of values in a window, which bounds the memory of long recordings."""


@dataclass(frozen=True)
class Prediction:
    """One item's result: probabilities ``(classes,)``, or the error.

    For a model that labels every step ``probabilities`` are segments packed by ``pack_segments``.
    """

    index: int
    content_hash: str
    num_steps: int
    probabilities: np.ndarray | BadInput
    remarks: tuple[str, ...] = ()
    """Remarks on how the item was read."""
    summary: np.ndarray | None = None
    """Quantities of the sequence (``Reference.summarize``) where the predictor ``summarizes``."""


class Predictor:
    """Predicts with a bundle. Probabilities do not depend on the composition of a batch (1e-5).

    The caller's number of torch threads is unchanged, also between two predictions. On a GPU, TF32
    is off while the network computes and restored afterwards.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        engine: EngineName = "torch",
        precision: ProductPrecision = "float32",
    ) -> None:
        """``engine`` auto computes by NumPy until the work is worth importing torch, onnx by ONNX
        Runtime on the CPU; ``precision`` bf16 multiplies in bfloat16.

        Raises SettingsError for an invalid combination, or if the engine is not installed.
        """
        self.bundle = bundle
        self._options = device, engine == "onnx", precision
        self._choice = Lock()
        self._small: NumpyEngine | None = None
        if engine == "auto" and precision == "float32" and can_compute(bundle):
            self._small = NumpyEngine(bundle)
        else:
            _ = self.torch_engine  # reports what it does not support
        self.encoder = bundle.encoder
        parts = [bundle.fingerprint, *({engine, precision} - {"auto", "torch", "float32"})]
        self.fingerprint = "-".join(parts)
        """Identifies bundle, engine and precision."""
        self.summarizes = False
        """Whether predictions have a summary, to compare inputs with the training rows."""
        self.label_files = LabelFiles()
        """Files of segments that are written beside the output table."""

    @cached_property
    def torch_engine(self) -> "TorchEngine":
        """The network as torch computes it."""
        from seqbelt.inference.torch_engine import TorchEngine

        return TorchEngine(self.bundle, *self._options)

    @property
    def network(self) -> "Network":
        """The network on its device."""
        return self.torch_engine.network

    @property
    def device(self) -> "torch.device":
        return self.torch_engine.device

    def _engine_for(self, sequences: Sequence[np.ndarray]) -> Engine:
        with self._choice:  # windows are predicted side by side
            if self._small is not None and not self._small.accepts(sequences):
                self._small = None
            return self._small or self.torch_engine

    def predict(
        self,
        sources: Iterable[tuple[int, Source]],
        is_known: Callable[[str], bool] | None = None,
        board: Board | None = None,
    ) -> Iterator[Prediction | Encoded]:
        """Predict numbered sources, in order.

        Content whose hash ``is_known`` is passed through, neither encoded nor predicted. The
        ``board`` records what is being decoded.
        """
        features, num_workers = self.bundle.features, self._num_workers
        encoded = encode_sources(
            features, self.encoder, sources, is_known, board=board, initializer=_use_one_thread
        )
        _restore_num_threads()  # fixes this thread's number before the workers start
        pool = ThreadPoolExecutor(num_workers, "network")
        results = map_ahead(pool, self._predict_window, _windows(encoded), num_workers)
        try:
            with closing(results):
                for predictions in results:
                    _restore_num_threads()
                    yield from predictions
        finally:
            _restore_num_threads()

    @property
    def _num_workers(self) -> int:
        """Windows predicted at the same time: one per core, each in one thread; on a GPU one, while
        the next is encoded."""
        engine = self._small or self.torch_engine
        return available_cores() if engine.is_on_cpu else 1

    def encode(self, source: Source) -> np.ndarray:
        """Encode one source as a sequence. Raises BadInput."""
        (item,) = encode_sources(self.bundle.features, self.encoder, [(0, source)])
        problem = self._problem(item)
        if problem is not None:
            raise problem
        assert isinstance(item.sequence, np.ndarray)
        return item.sequence

    def _predict_window(self, window: list[Encoded]) -> list[Prediction | Encoded]:
        results: list[Prediction | Encoded] = list(window)
        reference, names = self.bundle.reference, getattr(self.encoder, "names", None) or ()
        indices, sequences = [], []
        for index, item in enumerate(window):
            problem = self._problem(item)
            if problem is not None:
                results[index] = Prediction(item.index, item.content_hash, 0, problem)
            elif item.sequence is not None:
                indices.append(index)
                sequences.append(item.sequence)
        if not sequences:
            return results
        summaries, remarks = [None] * len(sequences), [()] * len(sequences)
        if reference is not None:
            summaries = reference.summarize_each(sequences)
            remarks = reference.unlike(summaries, names)
        of_rows = zip(indices, sequences, self._rows(sequences), summaries, remarks, strict=True)
        for index, sequence, row, summary, more in of_rows:
            item = window[index]
            results[index] = Prediction(
                item.index, item.content_hash, self.bundle.num_steps(sequence),
                find_overflow(row) or row, item.remarks + more,
                summary if self.summarizes else None,
            )  # fmt: skip
        return results

    def _problem(self, item: Encoded) -> BadInput | None:
        sequence, width = item.sequence, self.bundle.num_features
        if isinstance(sequence, np.ndarray) and sequence.ndim == 2 and sequence.shape[1] != width:
            message = f"{sequence.shape[1]} features per step, the model needs {width}"
            return BadInput(WRONG_SHAPE, message)
        return sequence if isinstance(sequence, BadInput) else None

    def write(
        self,
        path: Path,
        rows: Iterable[Row],
        key: str,
        model: str,
        byte_order_mark: bool = False,
        max_num_steps: int = 0,
        kept: Sequence[str] = (),
        rejects: bool = False,
    ) -> None:
        """Write a prediction file from journal rows: one row per input, or one per segment.

        ``kept`` and ``rejects`` as for ``write_predictions``.

        If the longest input, of ``max_num_steps`` steps, is not read completely, a column
        ``share_read`` has the fraction read of each input.
        """
        bundle = self.bundle
        step_s = bundle.features.step_s()
        if bundle.model.labels_steps and step_s is not None:
            write_segments(
                path, rows, key, bundle.classes, step_s, model, byte_order_mark, self.label_files
            )
        else:
            is_cropped = self.share_read(max_num_steps) < 1
            fraction_read = self.share_read if is_cropped else None
            write_predictions(
                path, rows, key, bundle.classes, model, byte_order_mark, fraction_read,
                kept, rejects, bundle.decision,
            )  # fmt: skip

    @property
    def labels_inputs(self) -> bool:
        """Whether an input has one label instead of segments."""
        return not self.bundle.model.labels_steps

    def share_read(self, num_steps: int) -> float:
        """The fraction, 0..1, of an input of ``num_steps`` steps that is read."""
        if self.bundle.model.labels_steps:
            return 1.0
        return self.bundle.model.cropping.fraction_read(num_steps)

    def _rows(self, sequences: list[np.ndarray]) -> Sequence[np.ndarray]:
        """What the journal keeps of each sequence; called in a worker thread."""
        engine = self._engine_for(sequences)
        _use_one_thread()
        if not self.bundle.model.labels_steps:
            return [*self._probabilities(engine, sequences)]
        min_steps = self.bundle.about.get("shortest_segment", 1)
        return [pack_segments(logits, min_steps) for logits in engine.step_logits(sequences)]

    def probabilities(self, sequences: list[np.ndarray]) -> np.ndarray:
        """Class probabilities float32 ``(sequences, classes)`` of encoded sequences.

        Sequences longer than the model reads are cropped as set by ``model.crop``. Raises BadInput
        for a sequence without steps.
        """
        if not all(map(len, sequences)):
            empty = next(index for index, sequence in enumerate(sequences) if not len(sequence))
            raise BadInput(EMPTY, f"sequence {empty} has no steps")
        if not sequences:
            return np.empty((0, len(self.bundle.classes)), np.float32)
        return self._probabilities(self._engine_for(sequences), sequences)

    def _probabilities(self, engine: Engine, sequences: list[np.ndarray]) -> np.ndarray:
        cropped = [*map(self.bundle.model.cropping.windows, sequences)]
        sequence_index = np.repeat(np.arange(len(sequences)), [len(windows) for windows in cropped])
        logits = engine.logits([window for windows in cropped for window in windows])
        return self.bundle.probabilities(
            average_window_probabilities(logits, sequence_index, self.bundle.target.is_several)
        )


def _use_one_thread() -> None:
    """Let torch, if it is loaded, use this thread alone."""
    if "torch" in sys.modules:
        from seqbelt.inference.torch_engine import use_one_thread

        use_one_thread()


def _restore_num_threads() -> None:
    if "torch" in sys.modules:
        from seqbelt.inference.torch_engine import restore_num_threads

        restore_num_threads()


def _windows(encoded: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    items = iter(encoded)
    while window := list(islice(items, 1)):
        num_values = _num_values(window[0])
        while len(window) < WINDOW_ITEMS and num_values < WINDOW_VALUES:
            following = next(items, None)
            if following is None:
                break
            window.append(following)
            num_values += _num_values(following)
        yield window


def _num_values(item: Encoded) -> int:
    return item.sequence.size if isinstance(item.sequence, np.ndarray) else 0
