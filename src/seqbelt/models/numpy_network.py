"""The network of ``models/classifier.py`` in NumPy, without torch, which takes long to import.

Sequences are computed separately up to the recurrence and after it, so nothing is padded; the
recurrence reads those of a batch together, as torch's packed sequences.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqbelt.models.model import (
    ATTENDING,
    ATTENTION_WIDTH,
    NEGLIGIBLE_SPREAD,
    NUM_GATES,
    POOLED_PARTS,
    Model,
)
from seqbelt.models.stem import Stem
from seqbelt.probabilities import mean_log_probabilities

Weights = Mapping[str, np.ndarray]
"""The parameters and buffers of a network by their names in torch's ``state_dict``."""
EPSILON = np.float32(1e-5)
"""Of torch's layer normalisation."""
States = tuple[np.ndarray, np.ndarray]
"""Hidden and cell states ``(sequences, hidden)``; only the LSTM uses the second."""


def check_embedding_parts(name: str, parts: np.ndarray, num_tokens: int) -> None:
    """Check the two rows of the embedding that are averaged for each token, int ``(tokens, 2)``.

    Raises ValueError for another shape, and for numbers of rows that do not exist.
    """
    if parts.shape != (num_tokens, 2) or not ((parts >= 0) & (parts < num_tokens)).all():
        raise ValueError(f"{name}: expected ({num_tokens}, 2) numbers of rows")


def expected_shapes(
    model: Model, num_features: int, num_classes: int, is_tokens: bool
) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of a network with resolved settings and one input."""
    shapes: dict[str, tuple[int, ...]] = {}
    if is_tokens:
        width = model.embedding_size
        shapes["embed.weight"] = (num_features, width)
    else:
        by_sequence = model.scaling == "rows_and_sequence"
        width = num_features * (1 + by_sequence + bool(model.differences))
        names = ["mean", "std", *(["difference_scale"] if model.differences else [])]
        shapes |= {f"normalize.{name}": (num_features,) for name in names}
    if isinstance(model.stem, Stem):
        for block, (channels, size) in enumerate(zip(model.stem.channels, model.stem.kernel_sizes)):
            name = f"stem.blocks.{block}"
            shapes[f"{name}.convolution.weight"] = (channels, width, size)
            shapes |= {
                f"{name}.{part}": (channels,)
                for part in ("convolution.bias", "normalize.weight", "normalize.bias")
            }
            width = channels
    if model.cell != "none":
        gates = NUM_GATES[model.cell] * model.hidden_size
        for layer in range(model.num_layers):
            for direction in _directions(model):
                suffix = f"l{layer}{direction}"
                shapes[f"recurrent.weights.weight_ih_{suffix}"] = (gates, width)
                shapes[f"recurrent.weights.weight_hh_{suffix}"] = (gates, model.hidden_size)
                shapes |= {f"recurrent.weights.bias_{of}_{suffix}": (gates,) for of in ("ih", "hh")}
            width = model.hidden_size * len(_directions(model))
    if model.pooling in ATTENDING:
        shapes["pool.project.weight"] = (ATTENTION_WIDTH, width)
        shapes["pool.project.bias"] = (ATTENTION_WIDTH,)
        shapes["pool.score.weight"] = (1, ATTENTION_WIDTH)
    width *= POOLED_PARTS.get(model.pooling, 1)
    return shapes | {"classify.weight": (num_classes, width), "classify.bias": (num_classes,)}


@dataclass(frozen=True)
class NumpyNetwork:
    """A network with one input, for prediction on a CPU without torch."""

    settings: Model
    """The resolved settings, without ``auto``."""
    weights: Weights
    is_tokens: bool

    def __call__(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits float32 ``(classes,)`` of each sequence, or ``(steps, classes)`` without pooling.

        Sequences are ``(steps, features)`` or token ids ``(steps,)``, with at least one step. Where
        numbers overflow the logits are NaN.
        """
        try:
            with overflow_raised():
                return self._compute(sequences)
        except FloatingPointError:
            if len(sequences) > 1:
                return [self([sequence])[0] for sequence in sequences]
            shape = sequences[0].shape[:1] if self.settings.labels_steps else ()
            num_classes = len(self.weights["classify.bias"])
            return [np.full((*shape, num_classes), np.nan, np.float32)]

    def _compute(self, sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        steps = [self._apply_stem(self.first_steps(sequence)) for sequence in sequences]
        outputs, final = self._recur(steps)
        pooled = [self._pool(*pair) for pair in zip(outputs, final, strict=True)]
        return [self.classify(each) for each in pooled]

    def work(self, num_steps: int) -> tuple[int, int]:
        """Multiplications for a sequence of ``num_steps`` steps, and steps that the recurrence
        reads one after the other, in all layers and directions."""
        total = 0
        for block, stride in enumerate(self.strides):
            num_steps = (num_steps - 1) // stride + 1
            total += num_steps * self.kernel(block).size
        recurrent = [w.size for name, w in self.weights.items() if name.startswith("recurrent.w")]
        total += num_steps * sum(recurrent)
        return total, num_steps * self.settings.num_layers * len(_directions(self.settings))

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the blocks of the stem."""
        return self.settings.stem.strides if isinstance(self.settings.stem, Stem) else ()

    def kernel(self, block: int) -> np.ndarray:
        """The convolution ``(channels, input channels, size)`` of a block of the stem."""
        return self.weights[f"stem.blocks.{block}.convolution.weight"]

    def first_steps(self, sequence: np.ndarray) -> np.ndarray:
        """Embedded tokens, or standardised steps: ``(steps, width)``."""
        weights = self.weights
        if self.is_tokens:
            if (parts := weights.get("embed.parts")) is None:
                return weights["embed.weight"][sequence]
            return weights["embed.weight"][parts[sequence]].mean(axis=1)
        std = weights["normalize.std"]
        columns = [(sequence - weights["normalize.mean"]) / std]
        if self.settings.scaling == "rows_and_sequence":
            values = sequence.astype(np.float64)
            centred = values - values.mean(axis=0)
            spread = np.sqrt(np.square(centred).mean(axis=0)) + NEGLIGIBLE_SPREAD * std
            columns.append((centred / spread).astype(np.float32))
        if self.settings.differences:
            changes = np.diff(sequence, axis=0, prepend=sequence[:1])
            columns.append(changes / weights["normalize.difference_scale"])
        return np.concatenate(columns, axis=1)

    def apply_block(self, block: int, window: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Outputs ``(fewer steps, channels)`` of a block of the stem for every position of its
        kernel in ``window``; ``inputs`` are the steps without what precedes and follows them."""
        name, stride, kernel = f"stem.blocks.{block}", self.strides[block], self.kernel(block)
        channels, _, size = kernel.shape
        windows = np.lib.stride_tricks.sliding_window_view(window, size, axis=0)[::stride]
        outputs = windows.reshape(len(windows), -1) @ kernel.reshape(channels, -1).T
        outputs += self.weights[f"{name}.convolution.bias"]
        outputs -= outputs.mean(axis=1, keepdims=True)
        outputs /= np.sqrt(np.square(outputs).mean(axis=1, keepdims=True) + EPSILON)
        outputs *= self.weights[f"{name}.normalize.weight"]
        outputs += self.weights[f"{name}.normalize.bias"]
        np.maximum(outputs, 0, out=outputs)
        return outputs + inputs if stride == 1 and inputs.shape[1] == channels else outputs

    def run_layer(
        self,
        sequences: Sequence[np.ndarray],
        layer: int,
        states: States | None = None,
        direction: str = "",
    ) -> tuple[list[np.ndarray], States]:
        """Outputs ``(steps, hidden)`` of sequences in falling order of their lengths, and their
        states after them; from zeros or from ``states``, each ``(sequences, hidden)``."""
        weight_ih, bias_ih, bias_hh = (
            self.weights[f"recurrent.weights.{name}_l{layer}{direction}"]
            for name in ("weight_ih", "bias_ih", "bias_hh")
        )
        weight_hh = self._transposed[f"recurrent.weights.weight_hh_l{layer}{direction}"]
        lengths = np.array([len(steps) for steps in sequences])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        gates = np.concatenate(sequences) @ weight_ih.T + bias_ih
        outputs = np.empty((len(gates), len(weight_hh)), np.float32)
        zeros = np.zeros((len(sequences), len(weight_hh)), np.float32)
        hidden, cell = (part.copy() for part in states or (zeros, zeros))
        advance = _CELLS[self._cell]
        batch_sizes = np.searchsorted(-lengths, -np.arange(lengths[0]))  # sequences with each step
        steps = range(lengths[0])
        for step in reversed(steps) if direction else steps:
            running = slice(batch_sizes[step])
            rows = starts[running] + step
            recurrent = hidden[running] @ weight_hh + bias_hh
            hidden[running], cell[running] = advance(
                gates[rows], recurrent, hidden[running], cell[running]
            )
            outputs[rows] = hidden[running]
        return np.split(outputs, starts[1:]), (hidden, cell)

    def attention_scores(self, outputs: np.ndarray) -> np.ndarray:
        """Attention scores ``(steps,)`` before the softmax."""
        weights = self.weights
        projected = outputs @ weights["pool.project.weight"].T + weights["pool.project.bias"]
        return np.tanh(projected) @ weights["pool.score.weight"][0]

    def classify(self, pooled: np.ndarray) -> np.ndarray:
        """Logits ``(..., classes)`` of pooled outputs ``(..., width)``."""
        return pooled @ self.weights["classify.weight"].T + self.weights["classify.bias"]

    def _apply_stem(self, steps: np.ndarray) -> np.ndarray:
        for block in range(len(self.strides)):
            size = self.kernel(block).shape[2]
            before = size // 2 if self.settings.bidirectional else size - 1
            window = np.pad(steps, ((before, size - 1 - before), (0, 0)))
            steps = self.apply_block(block, window, steps)
        return steps

    def _recur(self, sequences: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Outputs ``(steps, width)`` and final hidden state ``(width,)`` of each sequence."""
        if self.settings.cell == "none":
            return sequences, [steps[-1] for steps in sequences]
        order = np.argsort([-len(steps) for steps in sequences], kind="stable")
        inputs, final = [sequences[index] for index in order], np.empty(0)
        for layer in range(self.settings.num_layers):
            outputs, states = zip(
                *(
                    self.run_layer(inputs, layer, direction=direction)
                    for direction in _directions(self.settings)
                )
            )
            inputs = [np.concatenate(parts, axis=1) for parts in zip(*outputs)]
            final = np.concatenate([hidden for hidden, _ in states], axis=1)
        unsorted_indices = np.argsort(order)
        return [inputs[index] for index in unsorted_indices], [*final[unsorted_indices]]

    @cached_property
    def _transposed(self) -> Weights:
        """The recurrent matrices transposed in memory: small products are then much faster."""
        return {
            name: np.ascontiguousarray(array.T)
            for name, array in self.weights.items()
            if name.startswith("recurrent.weights.weight_hh")
        }

    @property
    def _cell(self) -> str:
        cell = self.settings.cell
        return f"rnn_{self.settings.nonlinearity}" if cell == "rnn" else cell

    def _pool(self, outputs: np.ndarray, final: np.ndarray) -> np.ndarray:
        name = self.settings.pooling
        if name == "none":
            return outputs
        if name == "last":
            return final
        if name == "mean":
            return outputs.mean(axis=0)
        if name == "max":
            return outputs.max(axis=0)
        if name == "concat":
            return np.concatenate([final, outputs.mean(axis=0), outputs.max(axis=0)])
        scores = self.attention_scores(outputs)
        attention = np.exp(scores - scores.max())
        attended = (attention / attention.sum()) @ outputs
        return attended if name == "attention" else np.concatenate([attended, outputs.max(axis=0)])


def average_logits(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Log of the mean probabilities of several networks' logits ``(..., classes)``, as
    ``ensemble.average_logits`` for tensors; those of one network are returned as they are."""
    if len(logits) == 1:
        return logits[0]
    return mean_log_probabilities(np.stack(logits)).astype(np.float32)


def overflow_raised() -> AbstractContextManager[object]:
    """Context in which an overflow raises FloatingPointError. Else a normalisation would divide by
    infinity and give numbers that look right, where torch gives NaN."""
    return np.errstate(over="raise", invalid="raise")


def numpy_networks(model: Model, is_tokens: bool, weights: Sequence[Weights]) -> list[NumpyNetwork]:
    """The network of each set of weights, with the ``auto`` settings of ``model`` resolved."""
    settings = model.resolve(is_tokens, None)
    return [NumpyNetwork(settings, each, is_tokens) for each in weights]


def _directions(model: Model) -> tuple[str, ...]:
    return ("", "_reverse") if model.bidirectional else ("",)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * np.tanh(np.float32(0.5) * values) + np.float32(0.5)


def _lstm(
    inputs: np.ndarray, recurrent: np.ndarray, hidden: np.ndarray, cell: np.ndarray
) -> States:
    into, forget, candidate, out = np.split(inputs + recurrent, 4, axis=1)
    cell = _sigmoid(forget) * cell + _sigmoid(into) * np.tanh(candidate)
    return _sigmoid(out) * np.tanh(cell), cell


def _gru(inputs: np.ndarray, recurrent: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> States:
    reset_in, update_in, candidate_in = np.split(inputs, 3, axis=1)
    reset_past, update_past, candidate_past = np.split(recurrent, 3, axis=1)
    reset, update = _sigmoid(reset_in + reset_past), _sigmoid(update_in + update_past)
    candidate = np.tanh(candidate_in + reset * candidate_past)
    return candidate + update * (hidden - candidate), cell


def _rnn_tanh(
    inputs: np.ndarray, recurrent: np.ndarray, hidden: np.ndarray, cell: np.ndarray
) -> States:
    return np.tanh(inputs + recurrent), cell


def _rnn_relu(
    inputs: np.ndarray, recurrent: np.ndarray, hidden: np.ndarray, cell: np.ndarray
) -> States:
    return np.maximum(inputs + recurrent, 0), cell


_CELLS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], States]] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _rnn_tanh,
    "rnn_relu": _rnn_relu,
}
