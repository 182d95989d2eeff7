"""The predictor: sources in, class probabilities out, in order, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from seqbelt.data.batches import evaluation_plan, pad
from seqbelt.data.cropping import average_window_probabilities, crop_steps, share_read
from seqbelt.errors import EMPTY, NOT_FINITE, WRONG_SHAPE, BadInput, SettingsError
from seqbelt.features.base import Source
from seqbelt.features.crash_board import Board
from seqbelt.features.encoding import Encoded, available_cores, encode_sources
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.journal import Row
from seqbelt.inference.output import write_predictions
from seqbelt.inference.segment_output import pack_segments, write_segments
from seqbelt.training.device import without_tf32
from seqbelt.training.step_scoring import label_steps

Engine = Literal["torch", "onnx", "ray"]
Precision = Literal["float32", "bf16"]
WINDOW_ITEMS = 512
"""Items that are sorted by length together: enough to fill batches, few enough for memory."""
WINDOW_VALUES = 4 << 20
"""Numbers in a window at most, so that long recordings do not add up."""


@dataclass(frozen=True)
class Prediction:
    """One item's answer: probabilities ``(classes,)``, or the reason why there are none.

    Of a model that labels every step these are its segments, as ``pack_segments`` packs them.
    """

    index: int
    content_hash: str
    num_steps: int
    probabilities: np.ndarray | BadInput
    remarks: tuple[str, ...] = ()
    """How the item was read, where that was not evident."""


class Predictor:
    """A bundle ready to predict. Probabilities do not depend on what else is in a batch (1e-5).

    The caller's number of torch threads stays as it is, also between two predictions. On a GPU,
    TF32 is off while the network computes, and set back afterwards.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str = "auto",
        engine: Engine = "torch",
        precision: Precision = "float32",
    ) -> None:
        """``engine`` onnx computes on the CPU; ``precision`` bf16 multiplies in bfloat16.

        Raises SettingsError for a combination that does not go together, or where the engine is
        not installed.
        """
        self.bundle = bundle
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() and engine == "torch" else "cpu"
        self.device = torch.device(device)
        self.network = bundle.network.to(self.device).eval()
        self.encoder = bundle.encoder
        for one in self.network.networks:
            one.recurrent.chosen_layout(self.device)  # may load the compiled kernel
        self.precision: Precision = precision
        self._compute = self.network if engine == "torch" else _onnx_network(bundle, precision)
        if precision != "float32":
            self._try_precision()
        parts = [bundle.fingerprint, *({engine, precision} - {"torch", "float32"})]
        self.fingerprint = "-".join(parts)
        """Changes with all that changes an answer."""

    def predict(
        self,
        sources: Iterable[tuple[int, Source]],
        is_known: Callable[[str], bool] | None = None,
        board: Board | None = None,
    ) -> Iterator[Prediction | Encoded]:
        """Answer numbered sources, in their order.

        Content whose hash ``is_known`` is passed through as it came, neither encoded nor answered.
        The ``board`` tells what is being decoded.
        """
        features, num_workers = self.bundle.features, self._num_workers
        encoded = encode_sources(
            features, self.encoder, sources, is_known, board=board, initializer=use_one_thread
        )
        pending: deque[Future[list[Prediction | Encoded]]] = deque()
        torch.get_num_threads()  # fixes this thread's own number before the workers start
        try:
            with ThreadPoolExecutor(num_workers, "network", use_one_thread) as pool:
                try:
                    for window in _windows(encoded):
                        pending.append(pool.submit(self._answer, window))
                        if len(pending) > num_workers:
                            yield from _with_own_threads(pending.popleft().result())
                    while pending:
                        yield from _with_own_threads(pending.popleft().result())
                finally:  # a reader that stops early, or Ctrl-C, waits for no further window
                    for future in pending:
                        future.cancel()
        finally:
            _keep_num_threads()

    @property
    def _num_workers(self) -> int:
        """Windows that are answered at once: one a core, each in one thread, so that no core waits
        for another; a GPU takes one after the other while the next is encoded."""
        return available_cores() if self.device.type == "cpu" else 1

    def _try_precision(self) -> None:
        """Some builds of torch have no LSTM in bfloat16 on some processors."""
        kind = np.int32 if self.network.is_tokens else np.float32
        shape = (1,) if self.network.is_tokens else (1, self.bundle.num_features)
        try:
            self.probabilities([np.zeros(shape, kind)])
        except RuntimeError as error:
            raise SettingsError(
                f"--precision {self.precision}: torch cannot compute this model so here "
                f"({str(error).partition('.')[0]}); take float32, or install a C++ compiler, "
                "with which the fused kernel can"
            ) from None

    def encode(self, source: Source) -> np.ndarray:
        """The sequence that one source gives. Raises BadInput."""
        (item,) = encode_sources(self.bundle.features, self.encoder, [(0, source)])
        problem = self._problem(item)
        if problem is not None:
            raise problem
        assert isinstance(item.sequence, np.ndarray)
        return item.sequence

    def _answer(self, window: list[Encoded]) -> list[Prediction | Encoded]:
        answers: list[Prediction | Encoded] = list(window)
        places, sequences = [], []
        for place, item in enumerate(window):
            problem = self._problem(item)
            if problem is not None:
                answers[place] = Prediction(item.index, item.content_hash, 0, problem)
            elif item.sequence is not None:
                places.append(place)
                sequences.append(item.sequence)
        if sequences:
            for place, sequence, row in zip(places, sequences, self._rows(sequences)):
                item = window[place]
                if not np.isfinite(row).all():  # finite weights may still overflow
                    row = BadInput(NOT_FINITE, "the network's answer is NaN or infinite")
                answers[place] = Prediction(
                    item.index, item.content_hash, len(sequence), row, item.remarks
                )
        return answers

    def _problem(self, item: Encoded) -> BadInput | None:
        sequence, width = item.sequence, self.bundle.num_features
        if isinstance(sequence, np.ndarray) and sequence.ndim == 2 and sequence.shape[1] != width:
            found = f"{sequence.shape[1]} features a step, the model was trained on {width}"
            return BadInput(WRONG_SHAPE, found)
        return sequence if isinstance(sequence, BadInput) else None

    def write(
        self,
        path: Path,
        rows: Iterable[Row],
        key: str,
        model: str,
        byte_order_mark: bool = False,
        max_num_steps: int = 0,
    ) -> None:
        """Write a prediction file of journalled answers: one row an input, or one a segment.

        Where the longest input, of ``max_num_steps`` steps, is not read whole, a column
        ``share_read`` tells how much of each was.
        """
        bundle = self.bundle
        step_s = bundle.features.step_s()
        if bundle.network.labels_steps and step_s is not None:
            write_segments(path, rows, key, bundle.classes, step_s, model, byte_order_mark)
        else:
            is_cropped = self.share_read(max_num_steps) < 1
            share = self.share_read if is_cropped else None
            write_predictions(path, rows, key, bundle.classes, model, byte_order_mark, share)

    @property
    def labels_inputs(self) -> bool:
        """Whether an input has one label, and not labelled segments."""
        return not self.bundle.network.labels_steps

    def share_read(self, num_steps: int) -> float:
        """The share, 0..1, of an input of ``num_steps`` steps that its answer is read from."""
        if self.bundle.network.labels_steps:
            return 1.0
        model = self.bundle.model
        return share_read(num_steps, model.max_steps, model.crop)

    def _rows(self, sequences: list[np.ndarray]) -> Sequence[np.ndarray]:
        if not self.network.labels_steps:
            return [*self.probabilities(sequences)]
        lengths = np.array([len(sequence) for sequence in sequences])
        with without_tf32(self.device):
            found = label_steps(self.network, sequences, lengths)
        return [pack_segments(logits) for logits in found]

    def probabilities(self, sequences: list[np.ndarray]) -> np.ndarray:
        """Class probabilities float32 ``(sequences, classes)`` of encoded sequences.

        Of a sequence longer than the model reads, what its ``crop`` names is read. Raises BadInput
        for one without steps; no sequences have no rows.
        """
        if not all(map(len, sequences)):
            empty = next(index for index, one in enumerate(sequences) if not len(one))
            raise BadInput(EMPTY, f"sequence {empty} has no steps")
        if not sequences:
            return np.empty((0, len(self.bundle.classes)), np.float32)
        model = self.bundle.model
        cropped = [crop_steps(sequence, model.max_steps, model.crop) for sequence in sequences]
        sequence_index = np.repeat(
            np.arange(len(sequences)), [len(stretches) for stretches in cropped]
        )
        stretches = [stretch for stretches in cropped for stretch in stretches]
        lengths = np.array([len(stretch) for stretch in stretches])
        logits = np.empty((len(stretches), len(self.bundle.classes)), np.float32)
        is_half = self.precision == "bf16"
        with (
            without_tf32(self.device),  # with it probabilities depend on the batch's composition
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, is_half),
        ):
            for indices in evaluation_plan(lengths):
                inputs, batch_lengths = pad([stretches[index] for index in indices])
                found = self._compute(inputs.to(self.device), batch_lengths)
                logits[indices] = found.float().cpu().numpy()
        return self.bundle.probabilities(average_window_probabilities(logits, sequence_index))


def _onnx_network(bundle: Bundle, precision: Precision) -> torch.nn.Module:
    if precision != "float32":
        raise SettingsError(f"--precision {precision}: --engine onnx computes in float32")
    try:
        from seqbelt.inference.onnx_export import OnnxNetwork, export_bytes
    except ImportError as error:
        raise SettingsError(
            f"--engine onnx: {error.name} cannot be imported; pip install 'seqbelt[onnx]'"
        ) from None
    return OnnxNetwork(export_bytes(bundle), num_threads=1)


def use_one_thread() -> None:
    """Run torch's operations of the calling thread in that thread alone.

    torch keeps this number for each thread, but threads that start later begin with the last one
    that any thread has set; ``_keep_num_threads`` sets that back.
    """
    torch.set_num_threads(1)


def _keep_num_threads() -> None:
    """Let threads that start from now on begin with the calling thread's number again."""
    torch.set_num_threads(torch.get_num_threads())


def _with_own_threads(
    answers: Iterable[Prediction | Encoded],
) -> Iterator[Prediction | Encoded]:
    """The same, yielded after the workers' number of threads is no default any more."""
    _keep_num_threads()
    yield from answers


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
