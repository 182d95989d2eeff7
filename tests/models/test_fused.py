"""The fused layers must be torch's layers on packed sequences, only faster."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from seqbelt.models import fused
from seqbelt.models.fused import Plan, fused_layer, is_available, library, why_unavailable
from seqbelt.models.fused.compiler import INSTRUCTIONS, library_name

CELLS = ["lstm", "gru", "rnn_tanh", "rnn_relu"]
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}
# Lengths, input and hidden size: one step; equal lengths; more sequences than one block of the
# kernel holds; and a long tail. The hidden sizes fill vectors and panels partly and wholly.
BATCHES = [
    ([1], 1, 1),
    ([4, 4, 4], 3, 17),
    ([7, 1, 3, 1, 2, 9, 5, 5, 1, 6, 2, 8, 3], 17, 130),
    ([20, 2, 1, 12], 64, 64),
]

needs_kernel = pytest.mark.skipif(not is_available(), reason=str(why_unavailable()))


def make_layer(
    cell: str, input_size: int, hidden_size: int, directions: int, dtype: torch.dtype
) -> nn.RNNBase:
    bidirectional = directions == 2
    if cell == "lstm":
        layer = nn.LSTM(input_size, hidden_size, bidirectional=bidirectional)
    elif cell == "gru":
        layer = nn.GRU(input_size, hidden_size, bidirectional=bidirectional)
    else:
        layer = nn.RNN(input_size, hidden_size, bidirectional=bidirectional, nonlinearity=cell[4:])
    return layer.to(dtype)


def make_state(layer: nn.RNNBase, batch_size: int) -> Tensor | tuple[Tensor, Tensor]:
    shape = (len(layer.all_weights), batch_size, layer.hidden_size)
    dtype = layer.all_weights[0][0].dtype
    hidden, memory = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(2))
    return (hidden, memory) if isinstance(layer, nn.LSTM) else hidden


def as_tuple(state: Tensor | tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
    return () if state is None else (state,) if isinstance(state, Tensor) else state


def run_packed(layer, rows, lengths, state=None) -> tuple[Tensor, ...]:
    packed = pack_sequence(list(rows.split(lengths.tolist())), enforce_sorted=False)
    output, final = layer(packed, state)
    return torch.cat(unpack_sequence(output)), *as_tuple(final)


def run_fused(cell, layer, rows, lengths, state=None) -> tuple[Tensor, ...]:
    output, final = fused_layer(cell, rows, lengths, layer.all_weights, state)
    return output, *as_tuple(final)


def gradients(results, leaves, factors) -> tuple[Tensor, ...]:
    loss = torch.stack([(r * f).sum() for r, f in zip(results, factors, strict=True)]).sum()
    return torch.autograd.grad(loss, leaves)


def assert_equal_up_to_rounding(found, expected, tolerance: float) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        scale = max(1.0, float(theirs.detach().abs().max()))
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance * scale)


def compare_with_packed(
    cell: str,
    lengths: list[int],
    input_size: int,
    hidden_size: int,
    directions: int,
    dtype: torch.dtype = torch.float64,
    with_state: bool = True,
) -> None:
    layer = make_layer(cell, input_size, hidden_size, directions, dtype)
    rows = torch.randn(sum(lengths), input_size, dtype=dtype, requires_grad=True)
    state = make_state(layer, len(lengths)) if with_state else None
    expected = run_packed(layer, rows, torch.tensor(lengths), state)
    found = run_fused(cell, layer, rows, torch.tensor(lengths), state)
    assert_equal_up_to_rounding(found, expected, TOLERANCES[dtype])
    leaves = [rows, *layer.parameters(), *as_tuple(state)]
    factors = [torch.randn_like(result) for result in expected]
    assert_equal_up_to_rounding(
        gradients(found, leaves, factors), gradients(expected, leaves, factors), TOLERANCES[dtype]
    )


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_packed_layer(cell, directions, dtype):
    torch.manual_seed(0)
    for lengths, input_size, hidden_size in BATCHES:
        compare_with_packed(cell, lengths, input_size, hidden_size, directions, dtype)


@needs_kernel
@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    input_size=st.sampled_from([1, 3, 17, 64, 130]),
    hidden_size=st.sampled_from([1, 3, 16, 17, 64, 130]),
    directions=st.sampled_from([1, 2]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    with_state=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_packed_layer_for_any_shape(
    cell, lengths, input_size, hidden_size, directions, dtype, with_state, seed
):
    torch.manual_seed(seed)
    compare_with_packed(cell, lengths, input_size, hidden_size, directions, dtype, with_state)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_finite_differences(cell):
    torch.manual_seed(0)
    lengths = torch.tensor([1, 3])
    layer = make_layer(cell, 2, 3, 2, torch.float64)
    rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    state = as_tuple(make_state(layer, 2))
    weights = [weight.detach().requires_grad_() for group in layer.all_weights for weight in group]

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        groups = [tensors[start : start + 4] for start in (0, 4)]
        *initial, rows = tensors[8:]
        given_state = (initial[0], initial[1]) if cell == "lstm" else initial[0]
        output, final = fused_layer(cell, rows, lengths, groups, given_state)
        return output, *as_tuple(final)

    assert torch.autograd.gradcheck(run, (*weights, *state, rows))


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_only_some_results_used(cell):
    """A classifier reads the final state alone, a tagger the output alone."""
    torch.manual_seed(0)
    lengths = torch.tensor([3, 6, 1])
    layer = make_layer(cell, 4, 5, 2, torch.float64)
    rows = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    for used in (0, 1, -1):
        found = run_fused(cell, layer, rows, lengths)[used].square().sum()
        expected = run_packed(layer, rows, lengths)[used].square().sum()
        leaves = [rows, *layer.parameters()]
        assert_equal_up_to_rounding(
            torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves), 1e-12
        )


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_backward_may_be_repeated(cell):
    torch.manual_seed(0)
    layer = make_layer(cell, 4, 5, 2, torch.float32)
    rows = torch.randn(10, 4, requires_grad=True)
    loss = run_fused(cell, layer, rows, torch.tensor([3, 6, 1]))[0].sum()
    first, second = (torch.autograd.grad(loss, rows, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_order_of_the_batch_does_not_matter(cell):
    torch.manual_seed(0)
    lengths = torch.randint(1, 30, (33,))
    sequences = torch.randn(int(lengths.sum()), 5).split(lengths.tolist())
    layer = make_layer(cell, 5, 24, 2, torch.float32)
    order = torch.randperm(33)
    shuffled = torch.cat([sequences[index] for index in order])
    output, final = run_fused(cell, layer, torch.cat(sequences), lengths)[:2]
    shuffled_output, shuffled_final = run_fused(cell, layer, shuffled, lengths[order])[:2]
    torch.testing.assert_close(shuffled_final, final[:, order], rtol=0, atol=1e-6)
    parts = output.split(lengths.tolist())
    expected = torch.cat([parts[index] for index in order])
    torch.testing.assert_close(shuffled_output, expected, rtol=0, atol=1e-6)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_equal_calls_give_equal_bits(cell):
    torch.manual_seed(0)
    plan = Plan(torch.randint(1, 40, (20,)))
    layer = make_layer(cell, 8, 40, 2, torch.float32)
    rows = torch.randn(plan.row_count, 8, requires_grad=True)
    runs = []
    for _ in range(3):
        results = run_fused(cell, layer, rows, plan)
        factors = [torch.ones_like(result) for result in results]
        runs.append((*results, *gradients(results, [rows, *layer.parameters()], factors)))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_inference_equals_training_and_keeps_nothing(cell):
    torch.manual_seed(0)
    lengths = torch.tensor([3, 6, 1])
    layer = make_layer(cell, 4, 20, 2, torch.float32)
    rows = torch.randn(10, 4)
    trained = run_fused(cell, layer, rows, lengths)
    with torch.no_grad():
        inferred = run_fused(cell, layer, rows, lengths)
    for one, other in zip(trained, inferred, strict=True):
        assert torch.equal(one, other)
        assert one.requires_grad and not other.requires_grad


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_half_precision(cell):
    torch.manual_seed(0)
    lengths = torch.randint(1, 20, (12,))
    layer = make_layer(cell, 16, 32, 2, torch.float32)
    rows = torch.randn(int(lengths.sum()), 16)
    leaves = list(layer.parameters())
    exact = run_fused(cell, layer, rows, lengths)
    expected = torch.autograd.grad(exact[0].square().mean(), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run_fused(cell, layer, rows, lengths)
        loss = rounded[0].square().mean()
    found = torch.autograd.grad(loss, leaves)
    assert rounded[0].dtype == torch.float32
    assert_equal_up_to_rounding(rounded, exact, 0.03)
    flat, flat_expected = (torch.cat([g.flatten() for g in grads]) for grads in (found, expected))
    assert torch.cosine_similarity(flat, flat_expected, dim=0) > 0.999
    halved = run_fused(cell, copy.deepcopy(layer).bfloat16(), rows.bfloat16(), lengths)
    assert halved[0].dtype == torch.bfloat16
    assert_equal_up_to_rounding([halved[0].float()], exact[:1], 0.05)


@needs_kernel
@pytest.mark.parametrize("batch_size, input_size, hidden_size", [(3, 3, 17), (41, 35, 67)])
@pytest.mark.parametrize("cell", CELLS)
def test_half_precision_of_any_size(cell, batch_size, input_size, hidden_size):
    """Operands come in pairs, and in tiles of 16 rows and 32 columns; all is odd here."""
    torch.manual_seed(0)
    lengths = torch.randint(1, 8, (batch_size,))
    layer = make_layer(cell, input_size, hidden_size, 2, torch.float32)
    rows = torch.randn(int(lengths.sum()), input_size, requires_grad=True)
    leaves = [rows, *layer.parameters()]
    exact = run_fused(cell, layer, rows, lengths)
    factors = [torch.randn_like(result) for result in exact]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run_fused(cell, layer, rows, lengths)
    assert_equal_up_to_rounding(rounded, exact, 0.02)
    found, expected = (gradients(results, leaves, factors) for results in (rounded, exact))
    for mine, theirs in zip(found, expected):  # not each number: a ReLU near zero is on or off
        assert torch.cosine_similarity(mine.flatten(), theirs.flatten(), dim=0) > 0.99


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_half_precision_rounds_only_where_it_gains(cell):
    torch.manual_seed(0)
    layer = make_layer(cell, 16, 32, 1, torch.float32)
    rows, lengths = torch.randn(20, 16), torch.tensor([12, 8])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = run_fused(cell, layer, rows, lengths)[0]
    exact = run_fused(cell, layer, rows, lengths)[0]
    assert torch.equal(rounded, exact) != library.instructions().endswith("bf16")


@needs_kernel
@pytest.mark.slow
@pytest.mark.parametrize("capability", ["avx2", "default"])
def test_processors_without_the_newest_instructions(capability):
    """Everything holds, and half precision falls back to float32."""
    names = "equals_packed_layer or half_precision or extreme or padded"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", names],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_padded_rows(cell):
    """Padding is not read, whatever it holds; it gets zeros and no gradient."""
    torch.manual_seed(0)
    lengths = torch.tensor([3, 6, 1])
    valid = torch.arange(7) < lengths[:, None]
    layer = make_layer(cell, 4, 5, 2, torch.float64)
    rows = torch.randn(10, 4, dtype=torch.float64, requires_grad=True)
    padded = torch.full((3, 7, 4), torch.nan, dtype=torch.float64)
    padded[valid] = rows.detach()
    padded.requires_grad_()
    expected = run_fused(cell, layer, rows, lengths)
    output, *final = run_fused(cell, layer, padded.flatten(0, 1), Plan(lengths, 7))
    output = output.unflatten(0, (3, 7))
    assert torch.equal(output[valid], expected[0]) and not output[~valid].any()
    assert all(torch.equal(a, b) for a, b in zip(final, expected[1:], strict=True))
    factor = torch.randn_like(output)
    weights = list(layer.parameters())
    found = torch.autograd.grad((output * factor).sum(), [padded, *weights])
    wanted = torch.autograd.grad((expected[0] * factor[valid]).sum(), [rows, *weights])
    assert not found[0][~valid].any()
    assert all(
        torch.equal(a, b) for a, b in zip((found[0][valid], *found[1:]), wanted, strict=True)
    )


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_extreme_and_undefined_inputs(cell):
    """Gates saturate without overflow, and NaN stays in the sequence that it came in."""
    layer = make_layer(cell, 2, 3, 1, torch.float32)
    rows = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [float("nan"), 0.0], [0.5, 0.5]])
    lengths = torch.tensor([2, 1, 1])
    found = run_fused(cell, layer, rows, lengths)[0]
    expected = run_packed(layer, rows, lengths)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


@needs_kernel
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        compare_with_packed("lstm", [5, 1, 9, 3, 3, 7], 6, 20, directions=1)
        compare_with_packed("gru", [5], 6, 20, directions=2)
    finally:
        torch.set_num_threads(before)


@needs_kernel
@pytest.mark.parametrize("cell", CELLS)
def test_vanishing_gradients_do_not_pass_through_subnormal_numbers(cell):
    torch.manual_seed(0)
    layer = make_layer(cell, 3, 16, 1, torch.float32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.2)
    rows, lengths = torch.randn(400, 3, requires_grad=True), torch.tensor([400])
    loss = run_fused(cell, layer, rows, lengths)[1].sum()
    (found,) = torch.autograd.grad(loss, [rows])
    magnitudes = found.abs()
    assert 0 < magnitudes[magnitudes > 0].min() < 1e-30, "the gradient should vanish here"
    assert not ((magnitudes > 0) & (magnitudes < torch.finfo(torch.float32).tiny)).any()
    assert float(torch.tensor(1e-40) * 1) > 0, "the caller's arithmetic is as it was"


@needs_kernel
def test_threads_may_change_before_the_backward_pass():
    before = torch.get_num_threads()
    torch.manual_seed(0)
    layer = make_layer("lstm", 3, 5, 1, torch.float64)
    rows, lengths = torch.randn(15, 3, dtype=torch.float64), torch.tensor([2, 9, 4])
    leaves = list(layer.parameters())
    try:
        torch.set_num_threads(3)
        loss = run_fused("lstm", layer, rows, lengths)[0].sum()
        torch.set_num_threads(1)
        found = torch.autograd.grad(loss, leaves)
    finally:
        torch.set_num_threads(before)
    expected = torch.autograd.grad(run_packed(layer, rows, lengths)[0].sum(), leaves)
    assert_equal_up_to_rounding(found, expected, 1e-12)


@needs_kernel
def test_rejects_what_does_not_fit():
    weights = make_layer("gru", 4, 5, 1, torch.float32).all_weights
    rows = torch.randn(3, 4)
    fits = torch.tensor([1, 2])
    with pytest.raises(ValueError, match="at least one step"):
        fused_layer("gru", rows, torch.tensor([3, 0]), weights)
    with pytest.raises(ValueError, match="at least one sequence"):
        Plan(torch.empty(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="int64"):
        Plan(torch.tensor([1.0]))
    with pytest.raises(ValueError, match="exceed 2 steps"):
        Plan(torch.tensor([1, 3]), num_steps=2)
    with pytest.raises(ValueError, match="6 rows"):
        fused_layer("gru", rows, Plan(torch.tensor([1, 3]), num_steps=3), weights)
    with pytest.raises(ValueError, match="4 rows"):
        fused_layer("gru", rows, torch.tensor([1, 3]), weights)
    with pytest.raises(ValueError, match="cell must be one of"):
        fused_layer("elman", rows, fits, weights)
    with pytest.raises(ValueError, match="shapes"):
        fused_layer("lstm", rows, fits, weights)
    with pytest.raises(ValueError, match="shapes"):
        fused_layer("gru", rows[:, :3], fits, weights)
    with pytest.raises(ValueError, match="one or two directions"):
        fused_layer("gru", rows, fits, [])
    with pytest.raises(ValueError, match="initial_state"):
        fused_layer("gru", rows, fits, weights, torch.zeros(1, 3, 5))
    with pytest.raises(ValueError, match="on the CPU"):
        fused_layer("gru", rows.to("meta"), fits, weights)


def test_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("SEQBELT_FUSED", "0")
    assert not is_available()
    assert "SEQBELT_FUSED=0" in str(why_unavailable())
    weights = make_layer("gru", 4, 5, 1, torch.float32).all_weights
    with pytest.raises(RuntimeError, match="SEQBELT_FUSED=0"):
        fused_layer("gru", torch.randn(3, 4), torch.tensor([3]), weights)


def test_says_that_there_is_no_compiler(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    sentence = library._load_once.__wrapped__()  # the process's own kernel is kept
    assert "'no-such-compiler' does not run" in sentence and capfd.readouterr().out == ""
    monkeypatch.setattr(library, "_load_once", lambda: sentence)
    assert not is_available() and why_unavailable() == sentence


@needs_kernel
def test_says_that_memory_is_missing(monkeypatch):
    weights = make_layer("gru", 4, 5, 1, torch.float32).all_weights
    monkeypatch.setattr(library.kernel(), "seqbelt_forward", lambda arguments: False)
    with pytest.raises(MemoryError, match="recurrent layer"):
        fused_layer("gru", torch.randn(3, 4), torch.tensor([3]), weights)


@pytest.fixture
def compiler(tmp_path, monkeypatch) -> Path:
    """A script in place of the compiler, and no library yet."""
    script = tmp_path / "c++"
    script.touch(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "BUILT_AHEAD", tmp_path / "no wheel")
    return script


def test_says_why_the_build_failed(compiler, capfd):
    compiler.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo 12.2.0; exit; fi\n'
        'echo "kernel.cpp: error: no luck" >&2\nexit 1'
    )
    assert "no luck" in str(library._load_once.__wrapped__())
    assert "no luck" not in capfd.readouterr().err
    assert not list((compiler.parent / "cache").glob("*.so"))


@needs_kernel
def test_compiles_nothing_where_a_wheel_brought_the_library(compiler, tmp_path, monkeypatch):
    compiler.write_text("#!/bin/sh\nexit 1")
    own = Path(library.kernel()._name)
    monkeypatch.setattr(library, "BUILT_AHEAD", own.parent)
    assert library._load_once.__wrapped__()._name == str(own)
    monkeypatch.setattr(library, "BUILT_AHEAD", tmp_path / "no wheel")
    assert "does not run" in library._load_once.__wrapped__()


def test_every_set_of_instructions_has_a_library_of_its_own():
    assert len({library_name(instructions) for instructions in INSTRUCTIONS}) == len(INSTRUCTIONS)


def test_exports():
    assert fused.__all__ == ["Plan", "fused_layer", "is_available", "why_unavailable"]
