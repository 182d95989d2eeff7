"""The engine against the textbook's equations, and its layouts against each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqbelt.models import fused
from seqbelt.models.initialization import initialize
from seqbelt.models.recurrent import Recurrent

CELLS = ["lstm", "gru", "rnn"]
LAYOUTS = ["padded", "packed"] + (["fused"] if fused.is_available() else [])


def textbook_layer(recurrent: Recurrent, steps: Tensor, layer: int, suffix: str) -> Tensor:
    """Outputs of one direction for one sequence ``(steps, features)``, one step at a time."""
    weights = recurrent.weights
    w_x, w_h, b_x, b_h = (
        getattr(weights, f"{name}_l{layer}{suffix}")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = torch.zeros(weights.hidden_size, dtype=steps.dtype)
    c = torch.zeros_like(h)
    outputs = []
    for x in steps:
        if recurrent.cell == "lstm":
            i, f, g, o = (w_x @ x + w_h @ h + b_x + b_h).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        elif recurrent.cell == "gru":
            (xr, xz, xn), (hr, hz, hn) = (w_x @ x + b_x).chunk(3), (w_h @ h + b_h).chunk(3)
            z = (xz + hz).sigmoid()
            h = (1 - z) * (xn + (xr + hr).sigmoid() * hn).tanh() + z * h
        else:
            activation = torch.tanh if weights.nonlinearity == "tanh" else torch.relu
            h = activation(w_x @ x + w_h @ h + (b_x + b_h))
        outputs.append(h)
    return torch.stack(outputs)


def textbook(recurrent: Recurrent, steps: Tensor) -> tuple[Tensor, Tensor]:
    """All layers and directions for one sequence: outputs and final state."""
    final = steps
    for layer in range(recurrent.weights.num_layers):
        forward = textbook_layer(recurrent, steps, layer, "")
        directions, finals = [forward], [forward[-1]]
        if recurrent.weights.bidirectional:
            backward = textbook_layer(recurrent, steps.flip(0), layer, "_reverse").flip(0)
            directions.append(backward)
            finals.append(backward[0])
        steps, final = torch.cat(directions, 1), torch.cat(finals)
    return steps, final


def make(layout, cell="lstm", features=3, hidden=5, dtype=torch.float64, **options) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, features, hidden, layout=layout, **options).to(dtype)


def random_batch(lengths, features=3, dtype=torch.float64, garbage=0.0):
    """Padded random inputs; ``garbage`` stands where the padding is."""
    lengths = torch.tensor(lengths)
    inputs = torch.randn(len(lengths), int(lengths.max()) + 2, features, dtype=dtype)
    inputs[torch.arange(inputs.shape[1]) >= lengths[:, None]] = garbage
    return inputs, lengths


def valid(outputs: Tensor, lengths: Tensor) -> Tensor:
    return outputs[torch.arange(outputs.shape[1]) < lengths[:, None]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {}),
        ("gru", {}),
        ("rnn", {"nonlinearity": "tanh"}),
        ("rnn", {"nonlinearity": "relu"}),
    ],
)
def test_equals_the_textbook_step_by_step(layout, cell, options, bidirectional):
    recurrent = make(layout, cell, num_layers=2, bidirectional=bidirectional, **options)
    inputs, lengths = random_batch([4, 1, 6])
    outputs, state = recurrent(inputs, lengths)
    finals = recurrent.final(state)
    for row, length in enumerate(lengths):
        expected, expected_final = textbook(recurrent, inputs[row, :length])
        torch.testing.assert_close(outputs[row, :length], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(finals[row], expected_final, rtol=0, atol=1e-12)


def run(layout, lengths, dtype, **options):
    """Outputs, finals, and the gradients of a loss that every output takes part in."""
    recurrent = make(layout, dtype=dtype, **options)
    torch.manual_seed(1)
    inputs, lengths = random_batch(lengths, dtype=dtype)
    inputs.requires_grad_()
    outputs, state = recurrent(inputs, lengths)
    finals = recurrent.final(state)
    shown = valid(outputs, lengths)
    loss = (shown * torch.linspace(-1, 1, shown.numel(), dtype=dtype).view_as(shown)).sum()
    (loss + (finals**2).sum()).backward()
    gradients = [parameter.grad for parameter in recurrent.parameters()]
    return [shown, finals, inputs.grad, *gradients]


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "packed"])
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    cell=st.sampled_from(CELLS),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    is_double=st.booleans(),
)
def test_layouts_agree_in_outputs_and_gradients(
    layout, lengths, cell, num_layers, bidirectional, is_double
):
    dtype, tolerance = (torch.float64, 1e-12) if is_double else (torch.float32, 1e-6)
    options = {"cell": cell, "num_layers": num_layers, "bidirectional": bidirectional}
    found = run(layout, lengths, dtype, **options)
    expected = run("packed", lengths, dtype, **options)
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_stands_in_the_padding_changes_nothing(layout):
    recurrent = make(layout, bidirectional=True)
    torch.manual_seed(2)
    inputs, lengths = random_batch([3, 7, 1])
    loud = inputs.clone()
    loud[torch.arange(inputs.shape[1]) >= lengths[:, None]] = 1e3
    (one, state), (other, loud_state) = recurrent(inputs, lengths), recurrent(loud, lengths)
    torch.testing.assert_close(valid(one, lengths), valid(other, lengths), rtol=0, atol=1e-13)
    one, other = recurrent.final(state), recurrent.final(loud_state)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sequence_without_steps_is_refused(layout):
    inputs, _ = random_batch([3, 2])
    with pytest.raises(ValueError, match="at least one step"):
        make(layout)(inputs, torch.tensor([3, 0]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("width", [-1, 1, 27], ids=["narrow", "wide", "far-wider"])
def test_inputs_of_another_width_are_refused(layout, width):
    recurrent = make(layout)
    expected = recurrent.weights.input_size
    inputs = torch.zeros(2, 4, expected + width, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"expected \(batch, steps, {expected}\)"):
        recurrent(inputs, torch.tensor([4, 2]))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "lengths, message",
    [
        (torch.tensor([4, 2, 1]), r"expected int64 \(2,\), got int64 \(3,\)"),
        (torch.tensor([4, 2], dtype=torch.int32), r"got int32 \(2,\)"),
        (torch.tensor([[4, 2]]), r"got int64 \(1, 2\)"),
        (torch.tensor([5, 2]), "5 exceeds the 4 steps given"),
    ],
    ids=["too-many", "int32", "two-dimensional", "too-long"],
)
def test_lengths_that_do_not_belong_to_the_inputs_are_refused(layout, lengths, message):
    recurrent = make(layout)
    inputs = torch.zeros(2, 4, recurrent.weights.input_size, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        recurrent(inputs, lengths)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_batch_and_a_state_of_another_batch_are_refused(layout):
    recurrent = make(layout)
    width = recurrent.weights.input_size
    empty = torch.zeros(0, 4, width, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"none of them 0, got \(0, 4"):
        recurrent(empty, torch.zeros(0, dtype=torch.int64))
    inputs, lengths = random_batch([3, 2])
    _, state = recurrent(*random_batch([3, 2, 1]))
    with pytest.raises(ValueError, match="state: expected"):
        recurrent(inputs, lengths, state)


def test_auto_never_needs_a_compiler(monkeypatch):
    monkeypatch.setattr(fused, "is_available", lambda: False)
    assert make("auto").chosen_layout(torch.device("cpu")) == "padded"


def test_forget_gate_starts_open_once_not_twice():
    recurrent = make("padded", "lstm", hidden=8)
    initialize(recurrent, "orthogonal", forget_bias=1.0)
    total = recurrent.weights.bias_ih_l0 + recurrent.weights.bias_hh_l0
    assert total.chunk(4)[1].tolist() == [1.0] * 8
    assert all(gate.abs().max() == 0 for k, gate in enumerate(total.chunk(4)) if k != 1)


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_gates_start_orthogonal(cell):
    recurrent = make("padded", cell, hidden=8)
    initialize(recurrent, "orthogonal", forget_bias=1.0)
    for gate in recurrent.weights.weight_hh_l0.split(8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8, dtype=gate.dtype))


def test_identity_initialisation_is_the_identity():
    recurrent = make("padded", "rnn", hidden=8, nonlinearity="relu")
    initialize(recurrent, "identity", forget_bias=1.0)
    assert torch.equal(recurrent.weights.weight_hh_l0, torch.eye(8, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of the compiler
@pytest.mark.parametrize("layout", ["fused", "padded", "packed"])
def test_compiled_layers_agree_and_transforms_are_refused_in_words(layout):
    if layout == "fused" and not fused.is_available():
        pytest.skip(fused.why_unavailable())
    torch.manual_seed(0)
    layer = Recurrent("lstm", 3, 4, 1, True, 0.0, "tanh", layout)
    inputs, lengths = torch.randn(3, 6, 3), torch.tensor([6, 2, 4])
    expected = layer(inputs, lengths)[0]
    found = torch.compile(layer, backend="eager")(inputs, lengths)[0]
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[row, :length], expected[row, :length])
    if hasattr(torch.compiler, "is_exporting"):
        with pytest.raises(RuntimeError, match="seqbelt export"):
            torch.export.export(layer, (inputs, lengths))

    def loss(weights):
        return torch.func.functional_call(layer, weights, (inputs, lengths))[0].sum()

    with pytest.raises(RuntimeError, match=r"torch\.func"):
        torch.func.grad(loss)(dict(layer.named_parameters()))
