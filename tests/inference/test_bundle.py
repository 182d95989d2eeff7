import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load_file, save_file
from toys import PLAIN

from seqbelt.errors import SeqbeltError
from seqbelt.features.arrays.channels import Channels
from seqbelt.features.audio.audio import LogMel
from seqbelt.features.text.text import Word
from seqbelt.inference.bundle import Bundle, _main
from seqbelt.inference.bundle_files import hash_of_bundle, write_hashes
from seqbelt.inference.bundle_weights import weights_of
from seqbelt.inference.predictor import Predictor
from seqbelt.models.classifier import build_network
from seqbelt.models.ensemble import Ensemble
from seqbelt.models.model import Model
from seqbelt.models.stem import Stem

CLASSES = ("no", "yes", "10")
BOTH_WAYS = PLAIN | {"hidden_size": 5, "bidirectional": True}


def make(cell: str = "lstm", seed: int = 0, **changes) -> Bundle:
    torch.manual_seed(seed)
    features = LogMel(kind="log_mel", sample_rate=8000, num_bands=6)
    model = Model(**BOTH_WAYS | {"cell": cell})
    network = build_network(model, 6, 3, is_tokens=False).eval()
    network.normalize.learn(torch.arange(6.0), torch.full((6,), 2.0))
    values = {
        "name": "toy",
        "features": features,
        "learned": {"words.txt": b"a\xffb", "empty": b""},
        "model": model,
        "classes": CLASSES,
        "num_features": 6,
        "weights": weights_of(network),
        "about": {"data": "abc", "score": 0.5},
    }
    return Bundle(**(values | changes))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_bundle_comes_back_whole(tmp_path, cell):
    bundle = make(cell)
    bundle.save(tmp_path / "b")
    again = Bundle.load(tmp_path / "b")
    for name in ("name", "features", "learned", "model", "classes", "num_features", "about"):
        assert getattr(again, name) == getattr(bundle, name)
    assert again.fingerprint == bundle.fingerprint
    inputs, lengths = torch.randn(4, 9, 6), torch.tensor([9, 3, 1, 5])
    with torch.inference_mode():
        torch.testing.assert_close(
            again.network(inputs, lengths), bundle.network(inputs, lengths), rtol=0, atol=0
        )
    assert not again.network.training


def test_a_bundle_holds_no_pickle(tmp_path):
    make().save(tmp_path)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"bundle.json", "weights.safetensors", "words.txt", "empty", "SHA256SUMS"}


def test_the_fingerprint_is_the_same_for_the_same_model():
    assert make().fingerprint == make().fingerprint
    assert make(about={"other": 1}, name="renamed").fingerprint == make().fingerprint


@pytest.mark.parametrize(
    "part", ["classify.bias", "normalize.mean", "recurrent.weights.weight_hh_l0"]
)
def test_the_fingerprint_changes_with_every_weight(part):
    bundle = make()
    array = bundle.weights[0][part].reshape(-1)
    array[-1] = np.nextafter(array[-1], np.float32(np.inf))
    assert bundle.fingerprint != make().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("yes", "no", "10")},
        {"features": LogMel(kind="log_mel", sample_rate=8000, num_bands=6, hop_ms=11.0)},
        {"learned": {"words.txt": b"a\xffc", "empty": b""}},
        {"learned": {}},
        {"model": Model(**BOTH_WAYS | {"pooling": "max"})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_fingerprint_changes_with_what_changes_an_answer(changes):
    assert make(**changes).fingerprint != make().fingerprint


def test_saving_over_an_older_bundle_leaves_nothing_of_it(tmp_path):
    make(seed=1).save(tmp_path)
    newer = make(learned={"other.txt": b"x"})
    newer.save(tmp_path)
    again = Bundle.load(tmp_path)
    assert again.learned == {"other.txt": b"x"}
    assert again.fingerprint == newer.fingerprint


def damage_json(change):
    def damage(folder):
        values = json.loads((folder / "bundle.json").read_text())
        change(values)
        (folder / "bundle.json").write_text(json.dumps(values))

    return damage


def cut(name: str, size: int):
    def damage(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "bundle.json").unlink(),
        lambda folder: (folder / "weights.safetensors").unlink(),
        cut("bundle.json", 0),
        cut("bundle.json", 60),
        cut("weights.safetensors", 0),
        cut("weights.safetensors", 100),
        cut("weights.safetensors", -1),
        lambda folder: (folder / "bundle.json").write_text("[]"),
        damage_json(lambda values: values.clear()),
        damage_json(lambda values: values.update(format=99)),
        damage_json(lambda values: values["features"].update(kind="smell")),
        damage_json(lambda values: values["model"].update(hidden_size=7)),
        damage_json(lambda values: values["model"].update(cell="lst")),
        damage_json(lambda values: values["classes"].append("more")),
        damage_json(lambda values: values.update(num_features="six")),
    ],
)
def test_a_damaged_bundle_is_refused_by_name(tmp_path, damage):
    """By its hash, and as well where the hashes were written anew."""
    make().save(tmp_path / "toy")
    damage(tmp_path / "toy")
    with pytest.raises(SeqbeltError, match="toy"):
        Bundle.load(tmp_path / "toy")
    if len([*(tmp_path / "toy").glob("*.*")]) == 2:
        write_hashes(tmp_path / "toy")
        with pytest.raises(
            SeqbeltError, match=r"toy.*: (not a usable|bundle format|invalid settings)"
        ):
            Bundle.load(tmp_path / "toy")


def change_weights(change):
    def damage(folder):
        path = folder / "weights.safetensors"
        save_file({name: change(tensor) for name, tensor in load_file(path).items()}, path)

    return damage


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights.safetensors", change_weights(torch.neg)),
        ("bundle.json", damage_json(lambda values: values["classes"].reverse())),
        ("bundle.json", damage_json(lambda values: values.update(temperature=2.0))),
        ("bundle.json", damage_json(lambda values: values["features"].update(hop_ms=11.0))),
        ("learned/words.txt", lambda folder: (folder / "learned/words.txt").write_bytes(b"b")),
        ("learned/words.txt", lambda folder: (folder / "learned/words.txt").unlink()),
        ("learned/new.txt", lambda folder: (folder / "learned/new.txt").write_bytes(b"b")),
        ("SHA256SUMS", lambda folder: (folder / "SHA256SUMS").unlink()),
    ],
)
def test_a_changed_file_is_refused_by_name_until_the_change_is_accepted(tmp_path, name, change):
    make().save(tmp_path / "toy")
    change(tmp_path / "toy")
    with pytest.raises(SeqbeltError, match=f"{tmp_path}/toy/{name}") as error:
        Bundle.load(tmp_path / "toy")
    assert f"python -m seqbelt.inference.bundle {tmp_path}/toy" in str(error.value)
    write_hashes(tmp_path / "toy")
    Bundle.load(tmp_path / "toy")


def test_a_link_to_another_file_is_a_change(tmp_path):
    make().save(tmp_path / "toy")
    make(seed=1).save(tmp_path / "other")
    (tmp_path / "toy/weights.safetensors").unlink()
    (tmp_path / "toy/weights.safetensors").symlink_to(tmp_path / "other/weights.safetensors")
    with pytest.raises(SeqbeltError, match="was changed"):
        Bundle.load(tmp_path / "toy")


@pytest.mark.parametrize(
    "change",
    [
        change_weights(lambda tensor: tensor * torch.nan),
        change_weights(lambda tensor: tensor / 0),
        damage_json(lambda values: values.update(temperature=0)),
        damage_json(lambda values: values.update(temperature=float("nan"))),
        damage_json(lambda values: values.update(temperature=-1.0)),
        damage_json(lambda values: values.update(classes=[1, 2, 3])),
        damage_json(lambda values: values.update(classes=["a", "a", "b"])),
        damage_json(lambda values: values["model"].update(hidden_size=20_000)),
        damage_json(lambda values: values["model"].update(num_layers=20_000)),
        damage_json(lambda values: values.update(num_features=10**9)),
        damage_json(lambda values: values.update(confidences=["x"])),
        damage_json(lambda values: values.update(confidences=[0.5, 0.4])),
        damage_json(lambda values: values.update(temperature=True)),
        damage_json(lambda values: values.update(format=True)),
        damage_json(lambda values: values.update(name=["toy"])),
        damage_json(lambda values: values.update(classes="abc")),
        damage_json(lambda values: values.update(classes=["a", "b", ""])),
        damage_json(lambda values: values.update(ordered="yes")),
        damage_json(lambda values: values.update(labels="per_step")),
        damage_json(lambda values: values.update(thresholds=[0.5, 0.5, 0.5])),
        change_weights(lambda tensor: tensor.to(torch.int32)),
        change_weights(lambda tensor: tensor > 0),
        change_weights(lambda tensor: tensor.double() * 1e300),
    ],
)
def test_values_that_no_training_saves_are_refused_at_once(tmp_path, change):
    """Though the hashes are right; a network of the sizes named here would fit into no memory."""
    make().save(tmp_path / "toy")
    change(tmp_path / "toy")
    write_hashes(tmp_path / "toy")
    began = time.monotonic()
    with pytest.raises(SeqbeltError, match=r"toy(: not a usable|/bundle.json: invalid settings)"):
        Bundle.load(tmp_path / "toy")
    assert time.monotonic() - began < 2


def test_a_bundle_of_before_hashes_is_read(tmp_path):
    make().save(tmp_path)
    damage_json(lambda values: values.pop("hashes"))(tmp_path)
    (tmp_path / "SHA256SUMS").unlink()
    assert Bundle.load(tmp_path).fingerprint == make().fingerprint


@pytest.mark.parametrize(
    ("features", "learned"),
    [
        (Word(kind="word"), {}),
        (Word(kind="word"), {"tokenizer.json": b"no JSON"}),
        (Channels(kind="channels"), {"channels.json": b"[]"}),
    ],
)
def test_what_was_learned_by_another_model_is_one_kind_of_error(features, learned):
    with pytest.raises(SeqbeltError, match="the model toy: learned/"):
        _ = make(features=features, learned=learned).encoder


def test_a_vocabulary_of_another_size_is_refused():
    """Its ids would lie outside the network's table."""
    features = Word(kind="word", min_count=1)
    learned = features.learn([features.read("one two three")])
    with pytest.raises(SeqbeltError, match=r"gives \d features, the network needs 77"):
        _ = make(features=features, learned=learned, num_features=77).encoder


def test_one_hash_tells_bundles_apart(tmp_path):
    make().save(tmp_path / "a")
    make().save(tmp_path / "b")
    make(seed=1).save(tmp_path / "c")
    hashes = [hash_of_bundle(tmp_path / name) for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_encoder_is_the_features_own():
    samples = np.random.default_rng(0).normal(0, 0.1, 800).astype(np.float32)
    bundle = make(learned={})
    raw = bundle.features.read(samples)
    np.testing.assert_array_equal(bundle.encoder.encode([raw])[0], bundle.features.encode([raw])[0])


def test_a_bundle_from_before_calibration_is_as_sure_as_it_was(tmp_path):
    make(temperature=2.5).save(tmp_path)
    assert Bundle.load(tmp_path).temperature == 2.5
    damage_json(lambda values: [values.pop("temperature"), values.pop("hashes")])(tmp_path)
    (tmp_path / "SHA256SUMS").unlink()  # they had no hashes either
    old = Bundle.load(tmp_path)
    assert old.temperature == 1.0 and old.fingerprint == make().fingerprint
    assert make(temperature=2.5).fingerprint != old.fingerprint  # its answers are others


@given(
    logits=arrays(np.float32, (4, 3), elements=st.floats(-30, 30, width=32)),
    temperature=st.floats(0.05, 20),
)
def test_calibration_changes_no_label(logits, temperature):
    found = make(temperature=temperature).probabilities(logits)
    assert found.argmax(1).tolist() == logits.argmax(1).tolist()
    assert found.sum(1) == pytest.approx(1, abs=1e-6) and found.dtype == np.float32
    expected = np.exp(logits.astype(float) / temperature)
    assert found == pytest.approx(expected / expected.sum(1, keepdims=True), abs=1e-6)


def test_a_lead_that_rounding_would_lose_is_kept():
    logits = np.array([[1.0, np.nextafter(np.float32(1), np.float32(2)), -3.0]], np.float32)
    assert make(temperature=20.0).probabilities(logits).argmax() == 1


OLD = Path(__file__).parent / "data"
"""Bundles written before models had a stem, with what that version answered (expected.json)."""
TIMES = np.arange(2400, dtype=np.float32)
OLD_INPUTS = {
    "log_mel": [
        np.sin(0.2 * times + 1e-4 * times**2) for times in (TIMES[:300], TIMES[:1001], TIMES)
    ],
    "character": ["a", "abcabca", "cab bac ab"],
}


@pytest.mark.parametrize("name", OLD_INPUTS)
def test_a_bundle_from_before_stems_answers_as_it_did(name, tmp_path):
    expected = json.loads((OLD / name / "expected.json").read_text())
    assert "stem" not in json.loads((OLD / name / "bundle.json").read_text())["model"]
    bundle = Bundle.load(OLD / name)
    assert bundle.model.stem == "none" and bundle.network.stem is None
    bundle.save(tmp_path)
    for one in (bundle, Bundle.load(tmp_path)):
        assert one.fingerprint == expected["fingerprint"]
        answers = Predictor(one, "cpu").predict(list(enumerate(OLD_INPUTS[name])))
        found = [answer.probabilities for answer in answers]
        # torch's Hann window had errors of 1e-7, which is as loud as the tone's quietest bands.
        np.testing.assert_allclose(found, expected["probabilities"], rtol=0, atol=2e-5)


def test_a_stem_is_part_of_the_fingerprint():
    stems = ["none", Stem(), Stem(strides=(1, 1, 2))]
    found = {make(model=Model(**BOTH_WAYS | {"stem": stem})).fingerprint for stem in stems}
    assert len(found) == 3


def make_ensemble(number=3, **changes) -> Bundle:
    networks = [make(seed=seed).network for seed in range(number)]
    return make(weights=weights_of(Ensemble(networks)), **changes)


def test_an_ensemble_comes_back_whole(tmp_path):
    bundle = make_ensemble()
    bundle.save(tmp_path)
    again = Bundle.load(tmp_path)
    assert isinstance(again.network, Ensemble) and len(again.network.networks) == 3
    assert again.fingerprint == bundle.fingerprint != make().fingerprint
    inputs, lengths = torch.randn(4, 9, 6), torch.tensor([9, 3, 1, 5])
    with torch.inference_mode():
        torch.testing.assert_close(
            again.network(inputs, lengths), bundle.network(inputs, lengths), rtol=0, atol=0
        )
    assert not any(one.training for one in again.network.networks)
    assert "weights-3.safetensors" in (tmp_path / "SHA256SUMS").read_text()


def test_predictions_of_an_ensemble_are_the_mean_of_its_networks(tmp_path):
    bundle = make_ensemble(2)
    bundle.save(tmp_path)
    sequences = [np.random.default_rng(n).normal(size=(n, 6)).astype(np.float32) for n in (5, 1, 9)]
    found = Predictor(Bundle.load(tmp_path)).probabilities(sequences)
    each = [Predictor(make(seed=seed)).probabilities(sequences) for seed in range(2)]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert np.abs(found - each[0]).max() > 1e-3, "the networks do not differ"


def test_a_bundle_of_one_network_names_no_number(tmp_path):
    make_ensemble().save(tmp_path)
    make().save(tmp_path)  # in the same folder: no network of the ensemble is left
    assert sorted(path.name for path in tmp_path.glob("weights*")) == ["weights.safetensors"]
    values = json.loads((tmp_path / "bundle.json").read_text())
    assert values["format"] == 1 and "num_networks" not in values
    assert Bundle.load(tmp_path).fingerprint == make().fingerprint


@pytest.mark.parametrize(
    "number, format", [(2, 2), (4, 2), (1, 2), (3, 1), ("3", 2), (10**12, 2), (-1, 2)]
)
def test_a_number_of_networks_that_was_mistyped_is_refused(tmp_path, number, format):
    make_ensemble().save(tmp_path)
    values = json.loads((tmp_path / "bundle.json").read_text())
    values |= {"num_networks": number, "format": format}
    (tmp_path / "bundle.json").write_text(json.dumps(values))
    write_hashes(tmp_path)
    with pytest.raises(SeqbeltError, match="num_networks"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights-2.safetensors"])
def test_a_network_of_an_ensemble_that_was_changed_or_removed_is_named(tmp_path, name):
    make_ensemble().save(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SeqbeltError, match=f"{name}: was changed"):
        Bundle.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(SeqbeltError, match=name):
        Bundle.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "weights.safetensors").unlink(),
        damage_json(lambda values: values.update(classes=["a", "a", "b"])),
        damage_json(lambda values: values["model"].update(forget_bias=1e308)),
        change_weights(lambda tensor: tensor * torch.nan),
    ],
    ids=["missing", "classes", "model", "weights"],
)
def test_an_unusable_bundle_is_not_accepted(tmp_path, change, capsys):
    make().save(tmp_path / "toy")
    before = (tmp_path / "toy/SHA256SUMS").read_text()
    change(tmp_path / "toy")
    assert _main([str(tmp_path / "toy")]) == 1
    assert f"error: {tmp_path}/toy" in capsys.readouterr().err
    assert (tmp_path / "toy/SHA256SUMS").read_text() == before


def test_a_change_on_purpose_is_accepted(tmp_path):
    make(learned={}).save(tmp_path / "toy")
    damage_json(lambda values: values.update(temperature=2.0))(tmp_path / "toy")
    assert _main([str(tmp_path / "toy")]) == 0
    assert Bundle.load(tmp_path / "toy").temperature == 2.0
