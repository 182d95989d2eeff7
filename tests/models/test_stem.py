"""The stem: padding changes nothing, nothing later is seen, pieces make the whole."""

import numpy as np
import pytest
import torch
from toys import PLAIN, streaming

from seqbelt.errors import SettingsError
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem
from seqbelt.models.stem_layers import StemLayers, output_lengths

CELLS = ["lstm", "gru", "rnn", "none"]
STRIDES = [(1, 1, 1), (1, 2, 2), (2, 3, 4)]
LENGTHS = torch.tensor([1, 2, 5, 23, 37])
NUM_FEATURES = 3
ROUNDING = {"rtol": 1e-6, "atol": 5e-6}
"""A convolution sums in another order for another length; what padding adds is over 1e-3."""


def model_of(**settings) -> Model:
    return Model(**PLAIN | {"hidden_size": 6, "pooling": "attention_max"} | settings)


def build(strides=(1, 1, 1), is_tokens=False, **settings):
    """An untrained network whose answers differ clearly, with a stem of few channels."""
    torch.manual_seed(0)
    stem = Stem(channels=(6, 8, 8), strides=strides)
    network = build_network(model_of(stem=stem, **settings), NUM_FEATURES, 4, is_tokens).eval()
    with torch.no_grad():
        for parameter in network.stem.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases and scales too
        network.classify.weight.mul_(3)
    return network


def layers(strides=(1, 1, 1), causal=False) -> StemLayers:
    torch.manual_seed(0)
    return StemLayers(Stem(channels=(6, 8, 8), strides=strides), NUM_FEATURES, causal).eval()


def draw(length: int) -> torch.Tensor:
    return torch.randn(length, NUM_FEATURES, generator=torch.Generator().manual_seed(length))


def padded(value: float, extra: int = 0) -> torch.Tensor:
    inputs = torch.full((len(LENGTHS), int(LENGTHS.max()) + extra, NUM_FEATURES), value)
    for row, length in enumerate(LENGTHS.tolist()):
        inputs[row, :length] = draw(length)
    return inputs


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
@torch.inference_mode()
def test_neither_padding_nor_neighbours_change_an_answer(cell, strides, bidirectional):
    network = build(strides, cell=cell, bidirectional=bidirectional)
    rows = zip(LENGTHS.tolist(), LENGTHS[:, None])
    alone = torch.cat([network(draw(length)[None], lengths) for length, lengths in rows])
    assert (alone[1:] - alone[:-1]).abs().amax(1).min() > 1e-3, "else the test sees nothing"
    for garbage in (0.0, 50.0, torch.nan):
        found = network(padded(garbage, extra=6), LENGTHS)
        torch.testing.assert_close(found, alone, **ROUNDING)


@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("causal", [False, True], ids=["around", "causal"])
@torch.inference_mode()
def test_the_valid_output_steps_are_those_of_the_sequence_alone(strides, causal):
    stem = layers(strides, causal)
    steps, lengths = stem(padded(50.0), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, count = stem(draw(length)[None], torch.tensor([length]))
        assert int(count) == int(lengths[row]) == alone.shape[1]
        torch.testing.assert_close(steps[row, : int(count)], alone[0], **ROUNDING)


@pytest.mark.parametrize("strides", STRIDES, ids=str)
@torch.inference_mode()
def test_a_causal_step_sees_nothing_later_and_the_others_do(strides):
    length, reduction = 48, int(np.prod(strides))
    inputs, lengths = draw(length)[None], torch.tensor([length])
    for causal in (True, False):
        stem, sees_later = layers(strides, causal), False
        whole, _ = stem(inputs, lengths)
        for place in range(length):
            changed = inputs.clone()
            changed[:, place:] += 3.0
            found, _ = stem(changed, lengths)
            before = -(-place // reduction)  # output k is made when input k * reduction is read
            same = torch.equal(found[:, :before], whole[:, :before])
            assert same or not causal
            sees_later |= not same
            if causal and before < whole.shape[1]:
                assert not torch.equal(found[:, before:], whole[:, before:])
        assert sees_later != causal


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@torch.inference_mode()
def test_every_cut_gives_the_answer_of_the_whole(strides, cell):
    network, steps = build(strides, cell=cell), draw(37)
    expected = network(steps[None], torch.tensor([37]))[0]
    for size in range(1, 38):
        reader = streaming(network)
        for start in range(0, 37, size):
            reader.push(steps[start : start + size].numpy())
        torch.testing.assert_close(torch.from_numpy(reader.logits), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("strides", STRIDES, ids=str)
@torch.inference_mode()
def test_differences_see_neither_padding_nor_where_a_stream_is_cut(strides):
    network = build(strides, differences=True)
    network.normalize.learn(torch.zeros(NUM_FEATURES), torch.ones(NUM_FEATURES))
    rows = zip(LENGTHS.tolist(), LENGTHS[:, None])
    alone = torch.cat([network(draw(length)[None], lengths) for length, lengths in rows])
    allowed = 1e-6 * max(1.0, float(alone.abs().max()))
    found = network(padded(torch.nan, extra=6), LENGTHS)
    torch.testing.assert_close(found, alone, rtol=0, atol=allowed)
    without = build(strides)
    assert not torch.equal(without(padded(0.0), LENGTHS), alone), "else the test sees nothing"
    steps = draw(37)
    expected = network(steps[None], torch.tensor([37]))[0]
    for size in (1, 2, 5, 36):
        reader = streaming(network)
        for start in range(0, 37, size):
            reader.push(steps[start : start + size].numpy())
        torch.testing.assert_close(torch.from_numpy(reader.logits), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@torch.inference_mode()
def test_the_answer_so_far_is_that_of_the_steps_so_far(cell):
    network, steps = build((2, 3, 4), cell=cell), draw(50)
    reader = streaming(network)
    for count in range(1, 51):
        reader.push(steps[count - 1 : count].numpy())
        expected = network(steps[None, :count], torch.tensor([count]))[0]
        torch.testing.assert_close(torch.from_numpy(reader.logits), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_stem_is_causal_where_the_recurrence_reads_forwards_alone(bidirectional):
    assert build(bidirectional=bidirectional).stem.causal is not bidirectional


@pytest.mark.parametrize("strides", STRIDES, ids=str)
def test_each_sequence_keeps_a_step_for_every_stride_that_it_begins(strides):
    stem = layers(strides)
    lengths = torch.arange(1, 120)
    _, found = stem(torch.zeros(119, 119, NUM_FEATURES), lengths)
    assert stem.reduction == np.prod(strides)
    assert found.tolist() == [-(-length // stem.reduction) for length in range(1, 120)]
    assert output_lengths(torch.tensor([1, 4, 5]), 4).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("median", "reduction"), [(1, 1), (45, 1), (127, 1), (128, 2), (206, 2), (1024, 16)]
)
def test_strides_leave_a_median_sequence_enough_steps(median, reduction):
    lengths = np.array([1, median, median, median, 100_000])
    stem = model_of(stem="auto").resolve(False, lengths).stem
    assert stem.reduction == reduction
    assert stem.strides == tuple(sorted(stem.strides)), "the last blocks take the strides"


def test_strides_go_round_when_every_block_has_one():
    assert Stem.for_lengths(np.array([64 * 16])).strides == (2, 2, 4)
    assert Stem.for_lengths(np.array([64 * 64])).strides == (4, 4, 4)
    assert Stem.for_lengths(None).strides == Stem.for_lengths(np.array([])).strides == (1, 1, 1)


def test_auto_keeps_every_token_and_every_step_that_is_classified():
    lengths = np.full(9, 5000)
    tokens = model_of(stem="auto", embedding_size=10).resolve(True, lengths).stem
    assert (tokens.channels, tokens.reduction) == ((10,), 1)
    assert model_of(stem="auto", pooling="none").resolve(False, lengths).stem.reduction == 1
    assert model_of(stem="auto").resolve(False, lengths).stem.reduction > 1
    assert model_of(stem="none").resolve(False, lengths).stem == "none"


@torch.inference_mode()
def test_tokens_pass_through_a_stem_too():
    torch.manual_seed(0)
    network = build_network(
        model_of(stem="auto", embedding_size=5, bidirectional=True), 9, 4, True
    ).eval()
    ids = torch.randint(0, 9, (2, 8))
    together = network(ids, torch.tensor([8, 3]))
    torch.testing.assert_close(together[1:], network(ids[1:, :3], torch.tensor([3])))


def test_chrono_remembers_the_steps_that_the_stem_leaves():
    """150 input steps are 7 for the recurrence, so no unit remembers longer."""
    torch.manual_seed(0)
    stem = Stem(channels=(4,) * 3, strides=(2, 3, 4))
    model = model_of(stem=stem, hidden_size=200, forget_bias="chrono")
    weights = build_network(model, 3, 2, False, np.full(4, 150)).recurrent.weights
    forget = (weights.bias_ih_l0 + weights.bias_hh_l0).detach().view(4, 200)[1]
    assert 4 < float(forget.exp().max()) <= 6.001


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stem": {"kernel_sizes": [7, 4, 3]}}, r"kernel_sizes \(7, 4, 3\) must be odd"),
        ({"stem": {"strides": [1, 2]}}, "channels has 3 entries"),
        ({"stem": {"channels": [64]}}, "channels has 1 entries"),
        ({"stem": {"channels": []}}, "stem"),
        ({"stem": {"strides": [1, 0, 1]}}, "strides"),
        ({"stem": "some"}, "stem"),
        ({"stem": {"strides": [1, 1, 2]}, "pooling": "none"}, "needs every step; set all"),
    ],
)
def test_what_makes_no_stem_is_refused_with_the_reason(settings, words):
    with pytest.raises(SettingsError, match=words):
        Model.parse(settings)


def test_a_stem_of_other_settings_stays_as_it_is_given():
    given = {"stem": {"channels": [8, 8], "kernel_sizes": [5, 3], "strides": [1, 3]}}
    model = Model.parse(given)
    assert model.resolve(False, np.full(4, 9000)).stem == model.stem
    assert Model.parse(model.to_dict()) == model
