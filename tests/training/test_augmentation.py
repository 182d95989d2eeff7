"""Augmentation: what each transform may change, and what it must leave alone."""

import itertools
import os
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_store

from seqbelt.data.batches import Batch, pad
from seqbelt.errors import SettingsError
from seqbelt.experiment import Experiment
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.hyperparameters import Training
from seqbelt.training.loop import Loop

EVERYTHING = {
    "time_stretch": 0.3,
    "time_warp": 0.3,
    "shift": 0.2,
    "rotation_deg": 40.0,
    "frequency_warp": 0.3,
    "equalizer_std": 0.3,
    "scale_std": 0.2,
    "mixup_alpha": 0.4,
    "noise_std": 0.1,
    "time_mask_steps": 4,
    "channel_mask": 0.5,
    "feature_dropout": 0.5,
}
MOVING = EVERYTHING | {"feature_dropout": 0.0}
"""Without what draws every row towards the mean."""
NUM_CLASSES = 4
MEAN, STD = torch.tensor([1.0, -2.0, 5.0]), torch.tensor([0.5, 1.0, 2.0])
some_lengths = st.lists(st.integers(1, 20), min_size=1, max_size=9)


def make_batch(lengths, seed=0, first=0) -> Batch:
    random = np.random.default_rng(seed)
    rows = [random.normal(1, 1, (n, 3)).astype(np.float32) for n in lengths]
    labels = torch.from_numpy(random.integers(0, NUM_CLASSES, len(rows)))
    return Batch(*pad(rows), labels, np.arange(first, first + len(rows)))


def augmenter(seed=0, **settings):
    network = build_network(Model(hidden_size=2), 3, NUM_CLASSES, is_tokens=False)
    network.normalize.learn(MEAN, STD)
    return Augmenter.for_network(Augmentation(**settings), network, seed)


def rows_of(batch):
    return [row[:n].numpy() for row, n in zip(batch.inputs, batch.lengths.tolist())]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one[:3], other[:3]))


def test_by_default_the_batch_is_passed_through():
    batch = make_batch([3, 5])
    assert augmenter()(batch, 0) is batch
    assert not Augmentation().is_on


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_transform_alone_changes_the_rows_and_not_the_batch_it_was_given(name):
    batch = make_batch([20, 13, 8, 20])
    kept = Batch(*(part.clone() for part in batch[:3]), batch.indices)
    augmented = augmenter(**{name: EVERYTHING[name]})(batch, 0)
    changed = [not np.array_equal(a, b) for a, b in zip(rows_of(batch), rows_of(augmented))]
    assert sum(changed) >= 2  # a drawn width or angle may be nothing
    assert same(batch, kept)


@given(some_lengths, st.integers(0, 3), st.integers(0, 3), st.sampled_from([None, *EVERYTHING]))
def test_padding_stays_zero_and_lengths_fit(lengths, seed, epoch, name):
    settings = EVERYTHING if name is None else {name: EVERYTHING[name]}
    batch = make_batch(lengths)
    augmented = augmenter(seed, **settings)(batch, epoch)
    inputs, found = augmented.inputs, augmented.lengths
    assert inputs.dtype == torch.float32 and torch.isfinite(inputs).all()
    assert found.dtype == torch.int64 and int(found.min()) >= 1
    assert inputs.shape == (len(lengths), int(found.max()), 3)
    for row, length in zip(inputs, found.tolist()):
        assert not row[length:].any()
    if "time_stretch" not in settings:
        assert torch.equal(found, batch.lengths)


def test_no_stretch_leaves_a_sequence_without_steps():
    augmented = augmenter(time_stretch=0.95)(make_batch([1, 2] * 50), 0)
    assert int(augmented.lengths.min()) == 1 and torch.isfinite(augmented.inputs).all()


@given(some_lengths, st.sampled_from([None, *EVERYTHING]))
def test_what_stands_in_the_padding_changes_nothing(lengths, name):
    settings = EVERYTHING if name is None else {name: EVERYTHING[name]}
    batch = make_batch(lengths)
    dirty = batch.inputs.clone()
    for row, length in zip(dirty, lengths):
        row[length:] = 1e6
    augment = augmenter(**settings)
    assert same(augment(batch, 1), augment(batch._replace(inputs=dirty), 1))


def test_seed_epoch_and_batch_alone_decide():
    batch = make_batch([9, 12, 5])
    expected = augmenter(3, **EVERYTHING)(batch, 5)
    np.random.seed(1)
    torch.manual_seed(1)
    assert same(augmenter(3, **EVERYTHING)(batch, 5), expected)
    for seed, epoch, first in ((4, 5, 0), (3, 6, 0), (3, 5, 1), (5, 3, 0)):
        other = batch._replace(indices=batch.indices + first)
        assert not same(augmenter(seed, **EVERYTHING)(other, epoch), expected)


def test_rows_are_drawn_apart():
    row = np.random.default_rng(0).normal(0, 1, (30, 3)).astype(np.float32)
    batch = Batch(*pad([row] * 6), torch.zeros(6, dtype=torch.int64), np.arange(6))
    for name in EVERYTHING.keys() - {"mixup_alpha"}:  # of equal rows, mixup makes the same
        augmented = augmenter(**{name: EVERYTHING[name]})(batch, 0)
        assert len({row.tobytes() for row in rows_of(augmented)}) > 2, name


def ramps(lengths):
    """Rows that count their own steps: what is read tells where it was read."""
    rows = [np.repeat(np.arange(n, dtype=np.float32)[:, None], 3, axis=1) for n in lengths]
    return Batch(*pad(rows), torch.zeros(len(rows), dtype=torch.int64), np.arange(len(rows)))


@given(some_lengths, st.integers(0, 5))
def test_a_warp_runs_from_the_first_to_the_last_step_and_never_back(lengths, epoch):
    augmented = augmenter(time_warp=0.5, time_stretch=0.4)(ramps(lengths), epoch)
    for length, row in zip(lengths, rows_of(augmented)):
        places = row[:, 0]
        assert places[0] == 0 and (places[-1] == length - 1 or len(places) == 1)
        assert (np.diff(places) > 0).all() or length == 1
        assert round(0.6 * length) <= len(places) <= round(1.4 * length) or length == 1


def test_a_stretch_alone_keeps_the_speed_even():
    lengths = [50] * 40
    found = rows_of(augmenter(time_stretch=0.3)(ramps(lengths), 0))
    assert {len(row) for row in found} >= {36, 50, 64} - {50}
    for row in found:
        np.testing.assert_allclose(row[:, 0], np.linspace(0, 49, len(row)), rtol=1e-6)


def test_a_shift_moves_whole_steps_and_holds_the_end_that_is_left():
    for count, others in ((20, 30), (10, 2)):  # beside longer and beside shorter rows
        seen = set()
        for row in rows_of(augmenter(shift=0.2)(ramps([count] * 60 + [others]), 0))[:60]:
            moved = int(row[5, 0]) - 5
            seen.add(moved)
            assert np.array_equal(row[:, 0], np.clip(np.arange(count) + moved, 0, count - 1))
        assert seen == set(range(-count // 5, count // 5 + 1))


def test_a_frequency_warp_reads_every_step_at_bands_stretched_by_one_factor():
    """A row whose bands are their own numbers shows where each band was read."""
    bands = torch.arange(3.0).repeat(400, 5, 1)
    lengths = torch.full((400,), 5)
    batch = Batch(bands, lengths, torch.zeros(400, dtype=torch.long), np.arange(400))
    warped = augmenter(frequency_warp=0.25)(batch, 0).inputs
    assert torch.equal(warped, warped[:, :1].expand_as(warped))
    assert (warped[:, 0, 0] == 0).all()
    factors = warped[:, 0, 1]
    assert 0.8 <= factors.min() < 0.85 and 1.2 < factors.max() <= 1.25
    torch.testing.assert_close(warped[:, 0, 2], (2 * factors).clamp_max(2))


def test_an_equalizer_adds_one_smooth_curve_of_its_size_to_every_step():
    lengths = torch.full((2000,), 4)
    batch = Batch(torch.zeros(2000, 4, 3), lengths, torch.zeros(2000).long(), np.arange(2000))
    added = augmenter(equalizer_std=0.5)(batch, 0).inputs
    assert torch.equal(added, added[:, :1].expand_as(added))
    # The sum of the cosines' squares over 1, 2, 3 and 4, in the middle of three bands.
    cosines = np.cos((np.arange(3) + 0.5)[:, None] * np.arange(1, 5) * np.pi / 3)
    spread = 0.5 * STD * torch.from_numpy(np.sqrt((cosines**2 / np.arange(1, 5)).sum(1))).float()
    torch.testing.assert_close(added[:, 0].std(0), spread, rtol=0.06, atol=0)
    assert (added[:, 0].mean(0).abs() < 0.1 * STD).all()


@pytest.mark.parametrize("kind, is_on", [("log_mel", True), ("mfcc", False)])
def test_spectra_are_warped_and_equalized_by_default_and_other_numbers_are_not(store, kind, is_on):
    experiment = Experiment.parse(
        {"name": "x", "data": {"source": "x.csv"}, "features": {"kind": kind}}
    )
    augmentation = experiment.resolve(False, store.split("train")).training.augmentation
    assert isinstance(augmentation, Augmentation)
    assert bool(augmentation.frequency_warp) is bool(augmentation.equalizer_std) is is_on


def test_a_rotation_keeps_lengths_and_angles_and_turns_all_groups_of_three_together():
    random = np.random.default_rng(0)
    rows = [random.normal(0, 1, (n, 6)).astype(np.float32) for n in (7, 12)]
    batch = Batch(*pad(rows), torch.zeros(2, dtype=torch.int64), np.arange(2))
    network = build_network(Model(hidden_size=2), 6, 2, is_tokens=False)
    augmented = Augmenter.for_network(Augmentation(rotation_deg=30), network, 0)(batch, 0)
    for before, after in zip(rows, rows_of(augmented)):
        before, after = before.reshape(-1, 3), after.reshape(-1, 3)
        np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-4)
        turn = np.linalg.lstsq(before, after, rcond=None)[0]
        np.testing.assert_allclose(before @ turn, after, atol=1e-4)
        assert np.linalg.det(turn) == pytest.approx(1, abs=1e-4)  # a turn, not a mirror
        assert np.rad2deg(np.arccos((np.trace(turn) - 1) / 2)) <= 30.01


def test_noise_and_scale_have_the_size_that_they_were_given_in_training_deviations():
    batch = make_batch([400] * 50)
    spread = batch.inputs.std(1, correction=0, keepdim=True).minimum(STD)
    noise = (augmenter(noise_std=0.3)(batch, 0).inputs - batch.inputs) / spread
    np.testing.assert_allclose(noise.std((0, 1)), 0.3, rtol=0.02)
    np.testing.assert_allclose(noise.mean((0, 1)), 0, atol=0.01)
    scaled = augmenter(scale_std=0.2)(batch, 0).inputs
    factors = (scaled - MEAN) / (batch.inputs - MEAN)
    np.testing.assert_allclose(factors[:, 0], factors.median(1).values, rtol=1e-2, atol=1e-2)
    first = factors.median(1).values  # (rows, features)
    assert first.std().item() == pytest.approx(0.2, rel=0.2)
    assert first.mean().item() == pytest.approx(1, abs=0.05)


def test_noise_drowns_no_quiet_row_and_moves_no_constant_feature():
    batch = make_batch([400] * 4)
    quiet = batch.inputs * 1e-6
    quiet[:, :, 1] = 5.0
    noise = augmenter(noise_std=0.3)(batch._replace(inputs=quiet), 0).inputs - quiet
    assert noise[:, :, 0].std() < 0.4 * quiet[:, :, 0].std()
    assert noise[:, :, 1].abs().max() < 1e-6


def hidden(batch):
    return [np.isclose(row, MEAN.numpy(), atol=1e-6) for row in rows_of(batch)]


@given(some_lengths, st.integers(0, 5))
def test_a_time_mask_hides_whole_steps_in_one_stretch_and_never_more_than_half(lengths, epoch):
    batch = make_batch(lengths)
    augmented = augmenter(time_mask_steps=6)(batch, epoch)
    for before, after, mask in zip(rows_of(batch), rows_of(augmented), hidden(augmented)):
        steps = mask.all(1)
        assert steps.sum() <= min(6, len(steps) // 2)
        assert np.abs(np.diff(np.pad(steps.astype(int), 1))).sum() in (0, 2)
        assert np.array_equal(before[~steps], after[~steps])


def test_masks_reach_their_largest_width_and_every_place():
    batch = make_batch([12] * 400)
    steps = np.array([mask.all(1) for mask in hidden(augmenter(time_mask_steps=6)(batch, 0))])
    assert set(steps.sum(1)) == set(range(7)) and steps.any(0).all()
    masked = augmenter(channel_mask=0.7)(batch, 0)
    features = np.array([mask.all(0) for mask in hidden(masked)])
    assert set(features.sum(1)) == {0, 1, 2} and features.any(0).all()
    assert not (features[:, 0] & ~features[:, 1] & features[:, 2]).any()  # side by side


def test_dropped_features_are_the_mean_throughout_and_one_always_stays():
    batch = make_batch([9] * 400)
    found = augmenter(feature_dropout=0.99)(batch, 0).inputs
    at_mean = (found == MEAN).all(1)
    changed = (found != batch.inputs).any(1)
    assert torch.equal(at_mean, changed)
    counts = at_mean.sum(1)
    assert counts.max() == 2 and set(counts.tolist()) == {0, 1, 2}
    one_feature = Batch(batch.inputs[..., :1], *batch[1:])
    network = build_network(Model(hidden_size=2), 1, NUM_CLASSES, is_tokens=False)
    alone = Augmenter.for_network(Augmentation(feature_dropout=0.99), network, 0)
    assert torch.equal(alone(one_feature, 0).inputs, one_feature.inputs)


def test_few_rows_hide_features_by_default():
    few, many = (Training().resolve(rows, False).augmentation for rows in (499, 500))
    assert few.feature_dropout > 0 and many.feature_dropout == 0
    assert few.replace(feature_dropout=0.0) == many
    assert not Training().resolve(50, True).augmentation.is_on


def test_mixup_mixes_labels_as_it_mixes_rows_and_the_first_has_the_larger_share():
    labels = torch.arange(NUM_CLASSES)
    lengths = [4, 9, 2, 9]
    # Constant rows: whatever is mixed in, a value tells the shares.
    rows = [np.full((n, 3), 10.0**k, np.float32) for k, n in enumerate(lengths)]
    batch = Batch(*pad(rows), labels, np.arange(4))
    mixed_in = set()
    for epoch in range(30):
        augmented = augmenter(mixup_alpha=1.0)(batch, epoch)
        shares = augmented.labels
        assert shares.dtype == torch.float32 and shares.shape == (4, NUM_CLASSES)
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
        assert (shares[labels, labels] >= 0.5).all()
        expected = shares @ torch.tensor([1.0, 10.0, 100.0, 1000.0])
        for row, value in zip(rows_of(augmented), expected):
            np.testing.assert_allclose(row, value, rtol=1e-5)
        mixed_in |= {tuple(pair) for pair in shares.nonzero().tolist()}
    assert len(mixed_in) == 16  # every pair occurs


def test_mixup_stretches_the_other_row_to_the_first_ones_steps():
    batch = ramps([11, 5])
    seen = 0
    for epoch in range(20):
        augmented = augmenter(mixup_alpha=1.0)(batch, epoch)
        for row, end in zip(rows_of(augmented), (10, 4)):
            last = row[-1, 0]
            np.testing.assert_allclose(row[:, 0], np.linspace(0, last, len(row)), rtol=1e-5)
            assert min(4, end) - 1e-5 <= last <= max(10, end) + 1e-5
            seen += bool(abs(last - end) > 0.1)
    assert seen > 5


def test_rotation_of_features_that_are_not_in_threes_is_refused():
    network = build_network(Model(hidden_size=2), 4, 2, is_tokens=False)
    with pytest.raises(SettingsError, match=r"rotation_deg.*got 4"):
        Augmenter.for_network(Augmentation(rotation_deg=10), network, 0)


def test_token_ids_are_refused():
    network = build_network(Model(hidden_size=2), 9, 2, is_tokens=True)
    assert not Augmenter.for_network(Augmentation(), network, 0).settings.is_on
    with pytest.raises(SettingsError, match="token ids"):
        Augmenter.for_network(Augmentation(noise_std=0.1), network, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"))


def test_every_cell_reads_the_same_augmented_rows_and_validation_reads_its_own(store):
    training = Training(num_epochs=2, batch_size=8, augmentation=Augmentation(**MOVING))
    read: dict[tuple[str, bool], list] = {}
    for cell in ("lstm", "rnn"):

        def build(cell=cell):
            network = build_network(Model(cell=cell, hidden_size=4, dropout=0.2), 3, 2, False)
            network.register_forward_pre_hook(
                lambda network, given: read.setdefault((cell, network.training), []).append(
                    given[0].clone()
                )
            )
            return network

        Loop(training, build, store.split("train"), store.split("validation")).run()
    for is_training in (True, False):
        one, other = read["lstm", is_training], read["rnn", is_training]
        assert len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other))
    sums = {True: 0.0, False: 0.0}
    for is_training, part in ((True, "train"), (False, "validation")):
        rows = store.split(part)
        plain = 2 * sum(float(rows[index].sum()) for index in range(len(rows)))  # two epochs
        sums[is_training] = sum(float(one.sum()) for one in read["lstm", is_training]) - plain
    assert abs(sums[True]) > 1 and abs(sums[False]) < 1e-3


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_interrupted_it_goes_on_with_the_same_augmented_rows(store, tmp_path, stop_after):
    training = Training(
        num_epochs=3, batch_size=8, device="cpu", augmentation=Augmentation(**EVERYTHING)
    )

    def fit(resume=False, **options):
        model = Model(hidden_size=4, dropout=0.2)
        return Loop(
            training,
            lambda: build_network(model, 3, 2, False),
            store.split("train"),
            None,
            **options,
        ).run(resume)

    undisturbed, expected = fit()
    path, steps = tmp_path / "checkpoint.safetensors", itertools.count(1)

    def stop():
        if next(steps) == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    _, cut = fit(checkpoint=path, on_step=stop)
    assert cut.interrupted
    resumed, history = fit(checkpoint=path, resume=True)
    assert [e.train_loss for e in history.epochs] == [e.train_loss for e in expected.epochs]
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
