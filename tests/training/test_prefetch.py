"""Whatever way a batch comes to its device, it is the same batch."""

import numpy as np
import pytest
import torch
from toys import toy_store

from seqbelt.cropping import Cropping
from seqbelt.data.batches import make_batch, training_plan
from seqbelt.data.cropped_sequences import crop_sequences, draw_crops
from seqbelt.data.sources.manifest import make_manifest
from seqbelt.data.store.preparation import prepare
from seqbelt.features.text.text import Character
from seqbelt.models.classifier import build_network
from seqbelt.models.model import Model
from seqbelt.training.augmentation import Augmentation
from seqbelt.training.augmenter import Augmenter
from seqbelt.training.prefetch import Prefetcher, ResidentSequences, load_batches

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store")).split("train")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    texts = ["abc", "b", "cabbac", "ba", "acca", "c", "abcabcabc"]
    labels = ["no", "yes", "no", "yes", "no", "yes", "no"]
    manifest = make_manifest(text=texts, label=labels, split=["train"] * 7)
    folder = tmp_path_factory.mktemp("texts")
    return prepare(manifest, Character(kind="character"), folder, {}).store.split("train")


def assert_same(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.indices.tolist() == other.indices.tolist()
        for tensor, wanted in zip(one[:3], other[:3]):
            assert tensor.dtype == wanted.dtype and torch.equal(tensor, wanted)


@pytest.mark.parametrize("kind", ["rows", "texts"])
@pytest.mark.parametrize("begin", [0, 1, 3])
def test_resident_batches_are_the_padded_ones_from_any_batch_on(kind, begin, request):
    rows = request.getfixturevalue(kind)
    plan = training_plan(rows.lengths, 2, 0, 0, 2)[begin:]
    expected = [make_batch(rows, indices) for indices in plan]
    assert_same(ResidentSequences(rows, CPU).batches(rows, plan), expected)


@pytest.mark.parametrize("is_resident", [False, True])
def test_targets_take_the_place_of_the_labels(texts, is_resident):
    targets = np.random.default_rng(0).random((len(texts), 2), np.float32)
    augment = Augmenter(Augmentation(), 0, 2)
    prefetcher = Prefetcher(texts, augment, CPU, targets)
    if is_resident:
        prefetcher.resident = ResidentSequences(texts, CPU, prefetcher.targets)
    plan = training_plan(texts.lengths, 2, 0, 0, 2)
    plain = [make_batch(texts, rows) for rows in plan]
    expected = [batch._replace(labels=torch.from_numpy(targets[batch.indices])) for batch in plain]
    assert_same(prefetcher.batches(texts, plan, 0), expected)


@pytest.mark.parametrize("crop", ["head", "tail", "random"])
def test_resident_steps_serve_every_epoch_s_crops(rows, crop):
    cropped = crop_sequences(rows, Cropping(4, crop))
    resident = ResidentSequences(cropped, CPU)
    for epoch in range(3):
        drawn = draw_crops(cropped, 0, epoch)
        plan = training_plan(drawn.lengths, 8, 0, epoch, 2)
        expected = [make_batch(drawn, indices) for indices in plan]
        assert_same(resident.batches(drawn, plan), expected)


def test_steps_go_to_the_device_in_slabs_of_whole_sequences(rows, monkeypatch):
    plan = training_plan(rows.lengths, 8, 0, 0, 2)
    expected = list(ResidentSequences(rows, CPU).batches(rows, plan))
    monkeypatch.setattr("seqbelt.training.prefetch.SLAB_BYTES", 100)
    assert_same(ResidentSequences(rows, CPU).batches(rows, plan), expected)


def test_an_epoch_without_batches_has_none(rows):
    assert not list(ResidentSequences(rows, CPU).batches(rows, []))
    assert not list(load_batches(lambda indices: make_batch(rows, indices), [], CPU))


def test_augmented_batches_are_never_gathered_from_what_lies_on_a_gpu(rows):
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    network, gpu = build_network(Model(), 3, 2, False), torch.device("cuda")
    for augmentation in (Augmentation(), Augmentation(noise_std=0.1)):
        prefetcher = Prefetcher(rows, Augmenter.for_network(augmentation, network, 0), gpu)
        assert (prefetcher.resident is None) == augmentation.is_on
        plan = training_plan(rows.lengths, 8, 0, 0, 2)
        expected = [
            Augmenter.for_network(augmentation, network, 0)(make_batch(rows, some), 0)
            for some in plan
        ]
        found = [batch.to(CPU) for batch in prefetcher.batches(rows, plan, 0)]
        assert_same(found, expected)
