"""Pooling around each step, against the same pooling of the steps cut out."""

import numpy as np
import pytest
import torch

from seqbelt.models.classifier import build_network
from seqbelt.models.model import LOCAL, Model
from seqbelt.models.pooling import Pooling
from seqbelt.models.stem import Stem


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("num_steps", [1, 3, 9])
def test_the_neighbourhood_of_a_step_is_pooled_like_a_sequence(name, num_steps):
    torch.manual_seed(0)
    pool = Pooling(name, 4)
    lengths = torch.tensor([7, 12])
    outputs = 3 * torch.randn(2, 12, 4)
    outputs[0, 7:] = torch.nan  # padding may hold anything
    found = pool.around_steps(outputs, lengths, num_steps)
    assert found.shape == (2, 12, pool.output_size)
    for row, length in enumerate(lengths.tolist()):
        for step in range(length):
            first, stop = max(0, step - num_steps // 2), min(length, step + num_steps // 2 + 1)
            part = outputs[row : row + 1, first:stop]
            expected = pool(part, part[:, -1], torch.tensor([stop - first]))[0]
            torch.testing.assert_close(found[row, step], expected, rtol=1e-5, atol=1e-6)
        assert not found[row, length:].any()


@pytest.mark.parametrize("name", ["last", "concat", "none"])
def test_other_poolings_are_refused(name):
    with pytest.raises(ValueError, match="complete sequence"):
        Pooling(name, 4).around_steps(torch.zeros(1, 5, 4), torch.tensor([5]), 3)


@pytest.mark.parametrize("stem", ["none", Stem(channels=(4,), kernel_sizes=(3,), strides=(2,))])
def test_a_span_over_the_whole_sequence_gives_the_logits_of_the_sequence(stem):
    torch.manual_seed(0)
    model = Model(cell="lstm", hidden_size=4, pooling="attention_max", stem=stem)
    network = build_network(model, 3, 2, is_tokens=False, lengths=np.array([9, 6])).eval()
    inputs, lengths = torch.randn(2, 9, 3), torch.tensor([9, 6])
    with torch.inference_mode():
        spans = network.classify_spans(inputs, lengths, 99)
        whole = network(inputs, lengths)
    torch.testing.assert_close(spans[:, 0], whole, rtol=1e-5, atol=1e-5)
