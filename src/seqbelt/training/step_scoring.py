"""A class for every step of sequences of any length, in bounded memory.

A unidirectional network carries its state from chunk to chunk, which is exact. A bidirectional one
needs the end first: if the model reads at most ``max_steps``, windows that overlap by half are
blended.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
import torch
from torch import Tensor, nn

from seqbelt.data.batches import evaluation_plan, pad
from seqbelt.data.labels.targets import UNLABELLED
from seqbelt.data.sequences import Sequences
from seqbelt.models.classifier import SequenceNetwork
from seqbelt.models.ensemble import Ensemble, Network
from seqbelt.models.streaming_classifier import StepClassifier
from seqbelt.probabilities import softmax

CHUNK_STEPS = 8192
"""Steps that a unidirectional network reads at a time: tens of megabytes."""


def predict_step_logits(network: nn.Module, sequences: Sequences) -> np.ndarray:
    """Logits float32 ``(labelled steps, classes)`` in the sequences' order; no dropout."""
    step_logits = label_steps(network, sequences, sequences.lengths)
    is_labelled = [sequences.step_labels(index) != UNLABELLED for index in range(len(sequences))]
    return np.concatenate(
        [logits[mask] for logits, mask in zip(step_logits, is_labelled, strict=True)]
    )


def label_steps(
    network: nn.Module, sequences: Sequences | Sequence[np.ndarray], lengths: np.ndarray
) -> list[np.ndarray]:
    """Logits float32 ``(steps, classes)`` for each sequence, independent of the others."""
    network = getattr(network, "module", network)  # distributed training wraps it
    assert isinstance(network, SequenceNetwork | Ensemble)
    was_training = network.training
    network.eval()
    two_ways = network.settings.bidirectional
    longest = (network.settings.max_steps or inf) if two_ways else CHUNK_STEPS
    is_short = lengths <= longest
    results: dict[int, np.ndarray] = {}
    for batch in evaluation_plan(lengths[is_short]):
        indices = np.flatnonzero(is_short)[batch].tolist()
        for index, logits in zip(indices, _label_batch(network, [sequences[i] for i in indices])):
            results[index] = logits
    for index in np.flatnonzero(~is_short).tolist():
        label = _label_blended if two_ways else _label_carried
        results[index] = label(network, sequences[index])
    network.train(was_training)
    return [results[index] for index in range(len(lengths))]


@torch.inference_mode()
def _label_batch(network: Network, sequences: list[np.ndarray]) -> list[np.ndarray]:
    inputs, lengths = pad(sequences)
    device = next(network.parameters()).device
    outputs = network.split(network(inputs.to(device), lengths), lengths)
    return [_as_array(logits) for logits in outputs]


def _label_carried(network: Network, steps: np.ndarray) -> np.ndarray:
    """In chunks with the state carried over: the same as at once."""
    reader = StepClassifier(network)
    starts = range(0, len(steps), CHUNK_STEPS)
    return np.concatenate(
        [_as_array(reader.label(steps[start : start + CHUNK_STEPS])) for start in starts]
    )


def _label_blended(network: Network, steps: np.ndarray) -> np.ndarray:
    """Logs of the mean probabilities of the windows that contain a step, weighted by its distance
    to their ends, where context is missing."""
    width = network.settings.max_steps
    assert width is not None  # only then is a sequence too long
    count = -(-2 * (len(steps) - width) // width) + 1
    starts = np.linspace(0, len(steps) - width, count).round().astype(int)
    ramp = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1))[:, None]
    total = np.zeros((len(steps), network.classify.out_features))
    weight = np.zeros((len(steps), 1))
    windows = [steps[start : start + width] for start in starts]
    for batch in evaluation_plan(np.full(count, width)):
        for index, logits in zip(batch, _label_batch(network, [windows[i] for i in batch])):
            window = slice(starts[index], starts[index] + width)
            total[window] += ramp * softmax(logits)
            weight[window] += ramp
    return np.log(np.maximum(total / weight, np.finfo(np.float32).tiny)).astype(np.float32)


def _as_array(logits: Tensor) -> np.ndarray:
    return logits.float().cpu().numpy()
