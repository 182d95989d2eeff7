"""The predictor: sources in, class probabilities out, in order, with bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from seqbelt.data.batches import evaluation_plan, pad
from seqbelt.data.cropping import crop_steps, pool_votes
from seqbelt.errors import WRONG_SHAPE, BadInput
from seqbelt.features.base import Source
from seqbelt.features.encoding import Encoded, encode_sources
from seqbelt.inference.bundle import Bundle
from seqbelt.inference.journal import Row
from seqbelt.inference.output import write_predictions
from seqbelt.inference.segments import pack_segments, write_segments
from seqbelt.training.device import round_to_tf32
from seqbelt.training.step_scoring import label_steps

WINDOW_ITEMS = 1024
"""Items that are sorted by length together: enough to fill batches, few enough for memory."""
WINDOW_VALUES = 32 << 20
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


class Predictor:
    """A bundle ready to answer. Answers do not depend on what else is in a batch (1e-5)."""

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        self.bundle = bundle
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        round_to_tf32(False)  # answers would depend on the batch beyond the third digit
        self.network = bundle.network.to(self.device).eval()
        self.encoder = bundle.encoder
        self.network.recurrent.chosen_layout(self.device)  # may load the compiled kernel

    def predict(
        self,
        sources: Iterable[tuple[int, Source]],
        is_known: Callable[[str], bool] = lambda content_hash: False,
    ) -> Iterator[Prediction | Encoded]:
        """Answer numbered sources, in their order.

        Content whose hash ``is_known`` is passed through as it came, neither encoded nor answered.
        """
        encoded = encode_sources(self.bundle.features, self.encoder, sources, is_known)
        for window in _windows(encoded):
            yield from self._answer(window)

    def encode(self, source: Source) -> np.ndarray:
        """The sequence that one source gives. Raises BadInput."""
        (item,) = encode_sources(self.bundle.features, self.encoder, [(0, source)])
        problem = self._problem(item)
        if problem is not None:
            raise problem
        assert isinstance(item.sequence, np.ndarray)
        return item.sequence

    def _answer(self, window: list[Encoded]) -> Iterator[Prediction | Encoded]:
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
                answers[place] = Prediction(item.index, item.content_hash, len(sequence), row)
        yield from answers

    def _problem(self, item: Encoded) -> BadInput | None:
        sequence, width = item.sequence, self.bundle.num_features
        if isinstance(sequence, np.ndarray) and sequence.ndim == 2 and sequence.shape[1] != width:
            found = f"{sequence.shape[1]} features a step, the model was trained on {width}"
            return BadInput(WRONG_SHAPE, found)
        return sequence if isinstance(sequence, BadInput) else None

    def write(self, path: Path, rows: Iterable[Row], key: str, model: str) -> None:
        """Write a prediction file of journalled answers: one row an input, or one a segment."""
        bundle = self.bundle
        step_s = bundle.features.step_s()
        if bundle.network.labels_steps and step_s is not None:
            write_segments(path, rows, key, bundle.classes, step_s, model)
        else:
            write_predictions(path, rows, key, bundle.classes, model)

    def _rows(self, sequences: list[np.ndarray]) -> Sequence[np.ndarray]:
        if not self.network.labels_steps:
            return [*self.probabilities(sequences)]
        lengths = np.array([len(sequence) for sequence in sequences])
        return [pack_segments(found) for found in label_steps(self.network, sequences, lengths)]

    def probabilities(self, sequences: list[np.ndarray]) -> np.ndarray:
        """Class probabilities float32 ``(sequences, classes)`` of encoded sequences.

        Of a sequence longer than the model reads, what its ``crop`` names is read.
        """
        model = self.bundle.model
        cropped = [crop_steps(sequence, model.max_steps, model.crop) for sequence in sequences]
        owners = np.repeat(np.arange(len(sequences)), [len(stretches) for stretches in cropped])
        stretches = [stretch for stretches in cropped for stretch in stretches]
        lengths = np.array([len(stretch) for stretch in stretches])
        logits = np.empty((len(stretches), len(self.bundle.classes)), np.float32)
        with torch.inference_mode():
            for indices in evaluation_plan(lengths):
                inputs, batch_lengths = pad([stretches[index] for index in indices])
                found = self.network(inputs.to(self.device), batch_lengths)
                logits[indices] = found.float().cpu().numpy()
        return self.bundle.probabilities(pool_votes(logits, owners))


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
